package ratelimit

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash/maphash"
	"net/http"
	"net/netip"
)

// A Subject is what a [KeyFunc] and a tier function see of a request. The
// Middleware fills it once per decision.
type Subject struct {
	// Request is the request itself. Its headers are the client's word: see
	// [ByValue].
	Request *http.Request
	// IP is the client's address as Config.ClientIP tells it; invalid where it
	// tells none.
	IP netip.Addr
	// Route is the pattern of the route, "GET /items/{id}", as Config.Route tells
	// it; empty where it is not known.
	Route string
}

// A KeyFunc tells whose bucket a request draws from. It is called for every
// request and must be safe for concurrent use; it should not block.
//
// There is no "no key": requests that give the same key share a bucket, also
// those whose key is the zero Key, the key of an empty string, or the key of a
// missing address. Were they skipped, leaving out what the key is made of would
// switch the limit off.
type KeyFunc func(Subject) Key

// A Key names the principal of a bucket: an address or network in clear, or a
// SHA-256 digest of anything else, cut to 128 bits. It is a plain comparable
// value, of fixed size however long the value was, and can be kept (for Reset,
// from an [Event]).
//
// Keys that were made of different parts are different: parts are encoded with
// their lengths and kinds, not glued together, so that ("a:b", "c") and
// ("a", "b:c") never meet.
type Key struct {
	kind    keyKind
	bits    uint8 // of a network: the length of the prefix
	noRoute bool  // ByRoute saw no route: reported once as EventNoRoute
	sum     [16]byte
}

type keyKind uint8

const (
	keyNone keyKind = iota // the zero Key; a missing address
	keyV4
	keyV6
	keyValue
	keyRoute
	keyJoined
	keyGlobal
)

// String is for logs: the network in clear, the first half of the digest of
// anything else. It never shows the value that a client sent.
func (k Key) String() string {
	switch k.kind {
	case keyNone:
		return "none"
	case keyGlobal:
		return "global"
	case keyV4:
		return netip.PrefixFrom(netip.AddrFrom4([4]byte(k.sum[:4])), int(k.bits)).String()
	case keyV6:
		return netip.PrefixFrom(netip.AddrFrom16(k.sum), int(k.bits)).String()
	}
	return hex.EncodeToString(k.sum[:8])
}

// keySize is the length of a Key's encoding.
const keySize = 18

// encode writes the key as bytes: no two keys have the same.
func (k Key) encode(b *[keySize]byte) {
	b[0], b[1] = byte(k.kind), k.bits
	copy(b[2:], k.sum[:])
}

// ByIP gives every client address its own bucket. An IPv6 client has at least a
// whole /64 to draw addresses from (RFC 6177), so a /64 is one client here. An
// IPv4-mapped address (::ffff:192.0.2.1) is unmapped first; cut to /64 as it
// is, all of IPv4 would be one client.
//
// It is only as good as Config.ClientIP: behind a proxy the peer is the proxy,
// and everybody shares its bucket; with a forwarding header believed from
// anybody, an attacker has as many buckets as he likes.
func ByIP(s Subject) Key { return KeyOfAddr(s.IP) }

// ByNetwork is [ByIP] with other prefix lengths: ByNetwork(24, 48) as a second,
// wider rule stops a client that has a /48, 65 536 times a /64. Lengths below 0
// and beyond 32 and 128 are taken as the nearest.
func ByNetwork(v4Bits, v6Bits int) KeyFunc {
	v4Bits, v6Bits = max(0, min(v4Bits, 32)), max(0, min(v6Bits, 128))
	return func(s Subject) Key { return networkKey(s.IP, v4Bits, v6Bits) }
}

// KeyOfAddr is the key that [ByIP] gives a client with this address.
func KeyOfAddr(a netip.Addr) Key { return networkKey(a, 32, 64) }

func networkKey(a netip.Addr, v4Bits, v6Bits int) Key {
	switch a = a.Unmap(); {
	case a.Is4():
		a4 := a.As4()
		n := binary.BigEndian.Uint32(a4[:]) & ^(uint32(1)<<(32-v4Bits) - 1)
		k := Key{kind: keyV4, bits: uint8(v4Bits)}
		binary.BigEndian.PutUint32(k.sum[:4], n)
		return k
	case a.Is6():
		k := Key{kind: keyV6, bits: uint8(v6Bits), sum: a.As16()} // As16 drops the zone
		for i := range k.sum {
			keep := max(0, min(v6Bits-8*i, 8))
			k.sum[i] &= ^(byte(0xff) >> keep)
		}
		return k
	}
	return Key{}
}

// ByRoute gives every route pattern a bucket that all clients share; with
// Join(ByIP, ByRoute) every client has its own. The pattern, not the path:
// otherwise a client gets a fresh bucket from /items/0, /items/1, /items/2.
//
// Where no route is known (a limiter outside the mux without Config.Route), all
// routes share one bucket, and the Middleware reports EventNoRoute.
func ByRoute(s Subject) Key {
	k := KeyOf(s.Route)
	k.kind, k.noRoute = keyRoute, s.Route == ""
	return k
}

// ByValue makes a key of a string: a user's ID that authentication has put into
// the context, an API key that has been checked. ByValue of "x" gives KeyOf("x").
//
// Not safe with what a client may choose, such as a raw header: who sends a new
// value with each request has a new, full bucket each time. The address from
// Config.ClientIP is the only key an unauthenticated client cannot choose; join
// others with it, or add a rule ByIP beside.
func ByValue(f func(*http.Request) string) KeyFunc {
	return func(s Subject) Key { return KeyOf(f(s.Request)) }
}

// Join makes one key of several: Join(ByIP, ByRoute) is a bucket per client and
// route. The order matters.
func Join(keys ...KeyFunc) KeyFunc {
	keys = append([]KeyFunc(nil), keys...)
	return func(s Subject) Key {
		j := joiner{}
		for _, f := range keys {
			j.add(f(s))
		}
		return j.key()
	}
}

// Global gives the one key that everybody shares: a limit for the service.
func Global(Subject) Key { return Key{kind: keyGlobal} }

// KeyOf is the key of one string as [ByValue] makes it, or of several joined, as
// Join(ByValue(...), ByValue(...)) makes it. KeyOf() is the zero Key.
func KeyOf(parts ...string) Key {
	switch len(parts) {
	case 0:
		return Key{}
	case 1:
		return Key{kind: keyValue, sum: digest(parts[0])}
	}
	j := joiner{}
	for _, p := range parts {
		j.add(Key{kind: keyValue, sum: digest(p)})
	}
	return j.key()
}

// JoinKeys is the key that [Join] makes of these: JoinKeys(KeyOfAddr(a),
// KeyOf(user)), for Peek and Reset.
func JoinKeys(keys ...Key) Key {
	j := joiner{}
	for _, k := range keys {
		j.add(k)
	}
	return j.key()
}

// joiner folds keys into one digest: each step hashes the digest so far and one
// key of fixed size, so that no two sequences give the same input.
type joiner struct {
	n       int
	noRoute bool
	sum     [sha256.Size]byte
}

func (j *joiner) add(k Key) {
	var b [sha256.Size + keySize]byte
	copy(b[:], j.sum[:])
	k.encode((*[keySize]byte)(b[sha256.Size:]))
	j.sum = sha256.Sum256(b[:])
	j.noRoute = j.noRoute || k.noRoute
	j.n++
}

func (j *joiner) key() Key {
	if j.n == 0 {
		return Key{}
	}
	return Key{kind: keyJoined, noRoute: j.noRoute, sum: [16]byte(j.sum[:16])}
}

// digest is SHA-256 cut to 128 bits: enough that nobody finds a value with a
// given victim's key. It copies no long value to the heap.
func digest(s string) [16]byte {
	var b [256]byte
	if len(s) <= len(b) {
		full := sha256.Sum256(b[:copy(b[:], s)])
		return [16]byte(full[:16])
	}
	h := sha256.New()
	for s != "" {
		n := copy(b[:], s)
		h.Write(b[:n])
		s = s[n:]
	}
	return [16]byte(h.Sum(nil)[:16])
}

// hasher turns keys into what the store is given: HMAC-SHA-256 (RFC 2104) with a
// secret, SHA-256 without. For a store in this process, which nobody else reads and
// no replica has to agree with, 128 bits of a hash with seeds of this process, in a
// quarter of the time.
type hasher struct {
	local        bool
	seeds        [2]maphash.Seed
	keyed        bool
	inner, outer [sha256.BlockSize]byte
}

func newHasher(secret []byte, local bool) hasher {
	h := hasher{keyed: len(secret) > 0, local: local}
	h.seeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}
	if len(secret) > sha256.BlockSize {
		s := sha256.Sum256(secret)
		secret = s[:]
	}
	copy(h.inner[:], secret)
	h.outer = h.inner
	for i := range h.inner {
		h.inner[i] ^= 0x36
		h.outer[i] ^= 0x5c
	}
	return h
}

// sum gives the principal's group, and the base of its keys: the key of a limit
// is base XOR the digest of the limit's name, which costs no second hash and
// collides no more than the digests do.
func (h *hasher) sum(k Key) (group, base [16]byte) {
	if h.local {
		var b [keySize]byte
		k.encode(&b)
		binary.LittleEndian.PutUint64(group[:8], maphash.Bytes(h.seeds[0], b[:]))
		binary.LittleEndian.PutUint64(group[8:], maphash.Bytes(h.seeds[1], b[:]))
		return group, group
	}
	var msg [sha256.BlockSize + keySize]byte
	copy(msg[:], h.inner[:])
	k.encode((*[keySize]byte)(msg[sha256.BlockSize:]))
	if !h.keyed {
		s := sha256.Sum256(msg[sha256.BlockSize:])
		return [16]byte(s[:16]), [16]byte(s[16:])
	}
	in := sha256.Sum256(msg[:])
	var out [sha256.BlockSize + sha256.Size]byte
	copy(out[:], h.outer[:])
	copy(out[sha256.BlockSize:], in[:])
	s := sha256.Sum256(out[:])
	return [16]byte(s[:16]), [16]byte(s[16:])
}

// xor is the key of one limit of a principal.
func xor(a, b [16]byte) (c [16]byte) {
	binary.LittleEndian.PutUint64(c[:8], binary.LittleEndian.Uint64(a[:8])^binary.LittleEndian.Uint64(b[:8]))
	binary.LittleEndian.PutUint64(c[8:], binary.LittleEndian.Uint64(a[8:])^binary.LittleEndian.Uint64(b[8:]))
	return c
}
