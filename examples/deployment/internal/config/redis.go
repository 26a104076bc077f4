package config

import (
	"net/url"

	"github.com/redis/go-redis/v9"
)

// RedisClient connects, when first used, to what a URL in go-redis' notation
// names: one server; a cluster, where the parameter addr names more of its nodes;
// or Sentinel, where master_name says whom to ask the sentinels for.
//
//	redis://user:password@host:6379/0
//	redis://user:password@host1:6379?addr=host2:6379&addr=host3:6379
//	redis://sentinel1:26379/0?master_name=main&addr=sentinel2:26379&password=...
//
// A cluster tells its other nodes itself; with several named here a process can
// start while one is away. rediss:// is TLS. The error may hold the password.
func RedisClient(s Secret) (redis.UniversalClient, error) {
	connect, err := parseRedis(s.Reveal())
	if err != nil {
		return nil, err
	}
	return connect(), nil
}

func parseRedis(s string) (connect func() redis.UniversalClient, err error) {
	u, err := url.Parse(s)
	if err != nil {
		return nil, err
	}
	switch q := u.Query(); {
	case q.Has("master_name"):
		o, err := redis.ParseFailoverURL(s)
		return func() redis.UniversalClient { return redis.NewFailoverClient(o) }, err
	case q.Has("addr"):
		o, err := redis.ParseClusterURL(s)
		return func() redis.UniversalClient { return redis.NewClusterClient(o) }, err
	}
	o, err := redis.ParseURL(s)
	return func() redis.UniversalClient { return redis.NewClient(o) }, err
}
