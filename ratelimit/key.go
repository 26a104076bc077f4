package ratelimit

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
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
	id   id
	kind keyMark
}

// An id is 128 bits. As two words it is passed in registers, which 16 bytes are not.
type id struct{ hi, lo uint64 }

func idOf(b []byte) id { return id{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])} }

func (i id) bytes() (b [16]byte) {
	i.put(&b)
	return b
}

func (i id) put(b *[16]byte) {
	binary.BigEndian.PutUint64(b[:8], i.hi)
	binary.BigEndian.PutUint64(b[8:], i.lo)
}

func (i id) xor(o id) id { return id{i.hi ^ o.hi, i.lo ^ o.lo} }

type keyMark struct {
	keyKind
	bits    uint8 // of a network: the length of the prefix
	noRoute bool  // ByRoute saw no route: reported as EventNoRoute
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
	sum := k.id.bytes()
	switch k.kind.keyKind {
	case keyNone:
		return "none"
	case keyGlobal:
		return "global"
	case keyV4:
		return netip.PrefixFrom(netip.AddrFrom4([4]byte(sum[:4])), int(k.kind.bits)).String()
	case keyV6:
		return netip.PrefixFrom(netip.AddrFrom16(sum), int(k.kind.bits)).String()
	}
	return hex.EncodeToString(sum[:8])
}

// keySize is the length of a Key's encoding.
const keySize = 18

// encode writes the key as bytes: no two keys have the same.
func (k Key) encode(b *[keySize]byte) {
	b[0], b[1] = byte(k.kind.keyKind), k.kind.bits
	k.id.put((*[16]byte)(b[2:]))
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
		b := a.As4()
		top := uint64(binary.BigEndian.Uint32(b[:])) << 32
		return Key{id{hi: top &^ (^uint64(0) >> v4Bits)}, keyMark{keyKind: keyV4, bits: uint8(v4Bits)}}
	case a.Is6():
		b := a.As16() // drops the zone
		i := idOf(b[:])
		i.hi &^= ^uint64(0) >> min(v6Bits, 64)
		i.lo &^= ^uint64(0) >> max(v6Bits-64, 0)
		return Key{i, keyMark{keyKind: keyV6, bits: uint8(v6Bits)}}
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
	return Key{digest(s.Route), keyMark{keyKind: keyRoute, noRoute: s.Route == ""}}
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
func Global(Subject) Key { return Key{kind: keyMark{keyKind: keyGlobal}} }

// KeyOf is the key of one string as [ByValue] makes it, or of several joined, as
// Join(ByValue(...), ByValue(...)) makes it. KeyOf() is the zero Key.
func KeyOf(parts ...string) Key {
	switch len(parts) {
	case 0:
		return Key{}
	case 1:
		return valueKey(parts[0])
	}
	j := joiner{}
	for _, p := range parts {
		j.add(valueKey(p))
	}
	return j.key()
}

func valueKey(s string) Key { return Key{digest(s), keyMark{keyKind: keyValue}} }

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
	j.noRoute = j.noRoute || k.kind.noRoute
	j.n++
}

func (j *joiner) key() Key {
	if j.n == 0 {
		return Key{}
	}
	return Key{idOf(j.sum[:]), keyMark{keyKind: keyJoined, noRoute: j.noRoute}}
}

// digest is SHA-256 cut to 128 bits: enough that nobody finds a value with a
// given victim's key. It copies no long value to the heap.
func digest(s string) id {
	var b [256]byte
	if len(s) <= len(b) {
		full := sha256.Sum256(b[:copy(b[:], s)])
		return idOf(full[:])
	}
	h := sha256.New()
	for s != "" {
		n := copy(b[:], s)
		h.Write(b[:n])
		s = s[n:]
	}
	return idOf(h.Sum(nil))
}

// hasher turns keys into what the store is given: HMAC-SHA-256 (RFC 2104) with a
// secret, SHA-256 without. A store in this process, which nobody else reads and no
// replica has to agree with, is given the keys as they are, folded to 16 bytes with
// a factor that nobody knows: what a client can choose of his key, he cannot choose
// to be another's.
type hasher struct {
	local        bool
	factor       uint64
	keyed        bool
	inner, outer [sha256.BlockSize]byte
}

// newHasher makes the hasher of a Middleware. memory is its store where that is a
// Memory: all who share it must agree on the keys.
func newHasher(secret []byte, memory *Memory) hasher {
	h := hasher{keyed: len(secret) > 0}
	if memory != nil {
		h.local, h.factor = true, memory.secret|1
	}
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
func (h *hasher) sum(k Key) (group, base id) {
	if h.local {
		k.id.hi ^= (uint64(k.kind.keyKind)<<8 | uint64(k.kind.bits)) * h.factor
		return k.id, k.id
	}
	return h.digest(k)
}

func (h *hasher) digest(k Key) (group, base id) {
	var msg [sha256.BlockSize + keySize]byte
	copy(msg[:], h.inner[:])
	k.encode((*[keySize]byte)(msg[sha256.BlockSize:]))
	if !h.keyed {
		s := sha256.Sum256(msg[sha256.BlockSize:])
		return idOf(s[:16]), idOf(s[16:])
	}
	in := sha256.Sum256(msg[:])
	var out [sha256.BlockSize + sha256.Size]byte
	copy(out[:], h.outer[:])
	copy(out[sha256.BlockSize:], in[:])
	s := sha256.Sum256(out[:])
	return idOf(s[:16]), idOf(s[16:])
}
