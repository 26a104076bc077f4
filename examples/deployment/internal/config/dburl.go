package config

import (
	"cmp"
	"net/url"
	"path/filepath"
	"strings"
)

// database reads DATABASE_URL in Go's, SQLAlchemy's and Prisma's spellings.
func (l *loader) database(c Config) Database {
	v := l.env("DATABASE_URL")
	if v == "" {
		if c.Production() {
			l.bad("DATABASE_URL", "is required in production, like postgres://user:password@host/name or sqlite:////data/app.db")
		}
		return Database{Driver: "sqlite", DSN: filepath.Join(c.VarDir, "app.db")}
	}
	driver, dsn, why := parseDatabaseURL(v)
	if why != "" {
		l.bad("DATABASE_URL", "%s", why)
	}
	d := Database{Driver: driver, DSN: dsn}
	if v := l.env("DATABASE_UNPOOLED_URL"); v != "" {
		driver, dsn, why := parseDatabaseURL(v)
		switch {
		case why != "":
			l.bad("DATABASE_UNPOOLED_URL", "%s", why)
		case driver != d.Driver:
			l.bad("DATABASE_UNPOOLED_URL", "is %s where DATABASE_URL is %s", driver, cmp.Or(d.Driver, "invalid"))
		}
		d.UnpooledDSN = dsn
	}
	return d
}

// parseDatabaseURL returns what the driver takes. The reason it gives never
// repeats the URL, which holds a password.
func parseDatabaseURL(v string) (driver, dsn, why string) {
	scheme, rest, ok := strings.Cut(v, "://")
	if !ok {
		return "", "", "is no URL; write postgres://user:password@host/name or sqlite:///./var/app.db"
	}
	dialect, _, _ := strings.Cut(scheme, "+") // the part behind + names a Python driver
	switch dialect {
	case "sqlite":
		// SQLAlchemy's form: sqlite:///relative, sqlite:////absolute.
		path, ok := strings.CutPrefix(rest, "/")
		if !ok || path == "" || strings.ContainsAny(path, "?#") {
			return "sqlite", "", "is no SQLite file; write sqlite:///./var/app.db or sqlite:////data/app.db, without parameters"
		}
		return "sqlite", path, ""
	case "postgres", "postgresql":
		u, err := url.Parse("postgres://" + rest)
		if err != nil || u.Host == "" || strings.Trim(u.Path, "/") == "" {
			return "postgres", "", "is no PostgreSQL URL; write postgres://user:password@host:5432/name (percent-encode special characters of the password)"
		}
		q := u.Query()
		if ssl := q.Get("ssl"); ssl != "" { // asyncpg's name
			q.Del("ssl")
			if ssl == "true" {
				ssl = "require"
			}
			q.Set("sslmode", ssl)
		}
		q.Del("pgbouncer") // Prisma's; we always speak so that PgBouncer understands
		u.RawQuery = q.Encode()
		return "postgres", u.String(), ""
	}
	return "", "", "has the scheme " + strings.ToLower(scheme) + "; use postgres:// or sqlite:///"
}
