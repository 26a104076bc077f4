package correlation

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"net/netip"
	"strings"

	"github.com/google/uuid"
)

// maxID is the length of the longest ID taken, in bytes.
const maxID = 128

// NewV7 makes a UUID of version 7 (RFC 9562, section 5.7), for Config.Generate:
// it sorts by time, which indexes like, and so tells everybody who sees it the
// millisecond in which it was made.
func NewV7() string {
	id, err := uuid.NewV7()
	if err != nil { // only with a failing source given to uuid.SetRand
		id = randomUUID()
	}
	return id.String()
}

// randomUUID is uuid.New without its allocation and without the package-wide
// switches (SetRand, EnableRandPool) that other code of the program may have
// turned.
func randomUUID() uuid.UUID {
	var id uuid.UUID
	_, _ = rand.Read(id[:]) // never fails (Go 1.24)
	return asV4(id)
}

// asV4 sets version and variant: RFC 9562, section 5.4.
func asV4(id uuid.UUID) uuid.UUID {
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id
}

// append adds the text of an ID to b.
func (f Format) append(b []byte, id uuid.UUID) []byte {
	if f == FormatHex32 {
		return hex.AppendEncode(b, id[:])
	}
	var t [36]byte
	hex.Encode(t[:8], id[:4])
	hex.Encode(t[9:13], id[4:6])
	hex.Encode(t[14:18], id[6:8])
	hex.Encode(t[19:23], id[8:10])
	hex.Encode(t[24:], id[10:])
	t[8], t[13], t[18], t[23] = '-', '-', '-', '-'
	return append(b, t[:]...)
}

// valid tells whether s is an ID of this format. Its cost is bounded by maxID.
func (f Format) valid(s string) bool {
	switch f {
	case FormatUUID:
		return len(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-' &&
			isHex(s[:8]) && isHex(s[9:13]) && isHex(s[14:18]) && isHex(s[19:23]) && isHex(s[24:])
	case FormatHex32:
		return len(s) == 32 && isHex(s)
	}
	if s == "" || len(s) > maxID {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '.', c == '_', c == ':', c == '-':
		default:
			return false
		}
	}
	return true
}

func isHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f') {
			return false
		}
	}
	return true
}

// given reads what the caller sent: his ID, "" where it is not taken, and the
// trace he takes part in. Two lines of a header are none: whoever sent the
// second may not be whoever sent the first.
func (m *Middleware) given(r *http.Request) (id, traceID, spanID string) {
	if v := r.Header[m.header]; len(v) == 1 && m.format.valid(v[0]) {
		id = v[0]
	}
	if v := r.Header["Traceparent"]; len(v) == 1 {
		traceID, spanID = parseTraceparent(v[0])
	}
	if m.trust != nil && (id != "" || traceID != "") && !m.trust(r) {
		return "", "", ""
	}
	return id, traceID, spanID
}

// identify sets the IDs and the client's address of the request. All texts made
// here are parts of one string: one allocation.
func (x *exchange) identify(r *http.Request) {
	m := x.mw
	x.id, x.traceID, x.spanID = m.given(r)
	if x.id == "" && m.generate != nil {
		if id := m.generate(); m.format.valid(id) {
			x.id = id
		}
	}
	var entropy [32]byte
	_, _ = rand.Read(entropy[:]) // never fails (Go 1.24); one call for both IDs
	b := make([]byte, 0, 36+36+40)
	b = m.format.append(b, asV4(uuid.UUID(entropy[:16])))
	endRequest := len(b)
	if x.id == "" {
		b = m.format.append(b, asV4(uuid.UUID(entropy[16:])))
	}
	endID := len(b)
	text, addr := x.clientAddr(r)
	if addr.IsValid() {
		b = addr.Unmap().WithZone("").AppendTo(b)
	}
	s := string(b)
	x.requestID, x.client = s[:endRequest], cmp.Or(text, s[endID:])
	if x.id == "" {
		x.id = s[endRequest:endID]
	}
}

// clientAddr returns the client's address. An IPv4 peer's comes as its text, cut
// from RemoteAddr: that is the usual case, and saves reading and writing it.
func (x *exchange) clientAddr(r *http.Request) (string, netip.Addr) {
	if x.mw.clientIP != nil {
		return "", x.mw.clientIP(r)
	}
	if i := strings.LastIndexByte(r.RemoteAddr, ':'); i > 0 {
		if addr, err := netip.ParseAddr(r.RemoteAddr[:i]); err == nil && addr.Is4() {
			return r.RemoteAddr[:i], netip.Addr{}
		}
	}
	if ap, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		return "", ap.Addr()
	}
	addr, _ := netip.ParseAddr(r.RemoteAddr) // a middleware outside may have cut the port
	return "", addr
}
