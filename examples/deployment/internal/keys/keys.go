// Package keys derives all keys of the application from one secret: one key per
// purpose, so that what is made with one can never be used as another, and one
// leaked key gives away nothing else.
package keys

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
)

// Ring holds the secret and, while it is being replaced, its predecessors. It is
// safe for concurrent use and prints as "[redacted]".
type Ring struct{ secrets [][]byte }

// New returns the keys of a secret of at least 32 random bytes, and of previous
// ones: what was signed or sealed with those is still accepted, never made.
func New(secret []byte, previous ...[]byte) *Ring {
	r := &Ring{secrets: [][]byte{bytes.Clone(secret)}}
	for _, p := range previous {
		r.secrets = append(r.secrets, bytes.Clone(p))
	}
	return r
}

// Derive returns the current key for a purpose, like "oauth-state".
func (r *Ring) Derive(purpose string) [32]byte { return derive(r.secrets[0], purpose) }

// All returns the keys for a purpose: the current one, then the previous ones.
func (r *Ring) All(purpose string) [][32]byte {
	all := make([][32]byte, len(r.secrets))
	for i, s := range r.secrets {
		all[i] = derive(s, purpose)
	}
	return all
}

// String keeps the secrets out of logs.
func (r *Ring) String() string { return "[redacted]" }

// GoString keeps the secrets out of %#v.
func (r *Ring) GoString() string { return "[redacted]" }

// MarshalText keeps the secrets out of JSON logs.
func (r *Ring) MarshalText() ([]byte, error) { return []byte("[redacted]"), nil }

// derive is HKDF-SHA256 (RFC 5869). No salt: the secret is random already. The
// label keeps another program with the same secret apart; a change of what a
// purpose means takes a new one.
func derive(secret []byte, purpose string) (key [32]byte) {
	k, err := hkdf.Key(sha256.New, secret, nil, "gatehouse/deployment/v1/"+purpose, len(key))
	if err != nil {
		panic(err) // only for more than 8160 bytes, or a secret that FIPS mode calls short
	}
	copy(key[:], k)
	return key
}
