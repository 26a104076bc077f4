package keys_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/keys"
)

var secret = []byte("fZ0q7Yk2nV9xW4bT6mR1sL8cH3jD5gPe")

// HKDF by RFC 5869, section 2, written out.
func hkdfByHand(secret []byte, info string) (key [32]byte) {
	extract := hmac.New(sha256.New, make([]byte, 32)) // no salt: HashLen zeros
	extract.Write(secret)
	expand := hmac.New(sha256.New, extract.Sum(nil))
	expand.Write(append([]byte(info), 1))
	copy(key[:], expand.Sum(nil))
	return key
}

func TestAKeyIsHKDFOfTheSecretAndThePurpose(t *testing.T) {
	r := keys.New(secret)
	assert.Equal(t, hkdfByHand(secret, "gatehouse/deployment/v1/token"), r.Derive("token"))
	assert.NotEqual(t, r.Derive("token"), r.Derive("oauth-state"), "a key per purpose")
	assert.NotEqual(t, r.Derive("token"), keys.New([]byte("another secret of thirty-two bytes")).Derive("token"))
}

func TestPreviousKeysComeAfterTheCurrentOne(t *testing.T) {
	old := []byte("an older secret of thirty-two bytes.")
	r := keys.New(secret, old)
	assert.Equal(t, [][32]byte{keys.New(secret).Derive("token"), keys.New(old).Derive("token")}, r.All("token"))
	assert.Equal(t, r.All("token")[0], r.Derive("token"))
}

func TestTheSecretIsCopied(t *testing.T) {
	mine := bytes.Clone(secret)
	r := keys.New(mine)
	before := r.Derive("token")
	clear(mine)
	assert.Equal(t, before, r.Derive("token"))
}

func TestARingPrintsNothing(t *testing.T) {
	r := keys.New(secret, secret)
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("keys", "ring", r)
	slog.New(slog.NewTextHandler(&log, nil)).Info("keys", "ring", r)
	js, err := json.Marshal(r)
	require.NoError(t, err)
	for _, out := range []string{fmt.Sprint(r), fmt.Sprintf("%v %+v %#v %s", r, r, r, r), log.String(), string(js)} {
		assert.Contains(t, out, "[redacted]")
		assert.NotContains(t, out, string(secret))
		assert.NotContains(t, out, fmt.Sprintf("%d", secret[:4])[1:10])
	}
}
