package auth

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strconv"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/data"
)

const (
	// tokenLife is how long a token is good that somebody has stolen. The user is
	// looked up for every request, so it need not be short for anything else.
	tokenLife = 30 * time.Minute
	// sessionLife is how long tokens are renewed after a login: a working day.
	sessionLife = 12 * time.Hour
	// maxToken bounds what is parsed, in bytes; ours have about 400.
	maxToken = 2048
)

// tokens makes and checks access tokens: JWTs (RFC 7519) as RFC 8725 advises.
type tokens struct {
	kid    string // of the current key
	keys   map[string][]byte
	origin string // iss and aud: made by this service for itself
	now    func() time.Time
	parser *jwt.Parser
}

// accessClaims is what a token says.
type accessClaims struct {
	jwt.RegisteredClaims
	// Epoch must be the user's: "log out everywhere" raises that.
	Epoch *int64 `json:"epoch"`
	// LoggedIn is when the user was last at the provider (auth_time in OpenID
	// Connect); renewing the token does not change it.
	LoggedIn *jwt.NumericDate `json:"auth_time"`
}

// Validate requires what the library finds optional.
func (c accessClaims) Validate() error {
	if c.Subject == "" || c.IssuedAt == nil || c.Epoch == nil || c.LoggedIn == nil {
		return errors.New("sub, iat, epoch and auth_time are required")
	}
	return nil
}

func newTokens(secrets [][32]byte, origin string, now func() time.Time) *tokens {
	t := &tokens{keys: map[string][]byte{}, origin: origin, now: now}
	for i, secret := range secrets {
		kid := keyID(secret)
		t.keys[kid] = secret[:]
		if i == 0 {
			t.kid = kid
		}
	}
	t.parser = jwt.NewParser(
		// The algorithm is ours to choose, never the token's (RFC 8725, section 3.1).
		jwt.WithValidMethods([]string{"HS256"}),
		jwt.WithIssuer(origin), jwt.WithAudience(origin),
		jwt.WithExpirationRequired(), jwt.WithNotBeforeRequired(), jwt.WithIssuedAt(),
		jwt.WithStrictDecoding(), // one token, one spelling
		jwt.WithTimeFunc(now),
		// Replicas' clocks differ a little: a fresh token of one is not "from the
		// future" for another.
		jwt.WithLeeway(5*time.Second),
	)
	return t
}

// keyID names a key without telling it.
func keyID(secret [32]byte) string {
	sum := sha256.Sum256(append([]byte("kid:"), secret[:]...))
	return base64.RawURLEncoding.EncodeToString(sum[:8])
}

// issue makes a token for a user who logged in at the given time.
func (t *tokens) issue(u data.User, loggedIn time.Time) (token string, life time.Duration) {
	now := t.now()
	life = min(tokenLife, loggedIn.Add(sessionLife).Sub(now))
	j := jwt.NewWithClaims(jwt.SigningMethodHS256, accessClaims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: t.origin, Audience: jwt.ClaimStrings{t.origin}, Subject: u.ID,
			IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(life)),
		},
		Epoch: &u.TokenEpoch, LoggedIn: jwt.NewNumericDate(loggedIn),
	})
	j.Header["kid"] = t.kid
	token, err := j.SignedString(t.keys[t.kid])
	if err != nil {
		panic(err) // the key has the right type, the claims are strings and numbers
	}
	return token, life
}

var errToken = errors.New("not a valid token")

// check returns what a valid token says. The error does not tell why not: it is
// nothing for a log (the text may quote the token) and nothing for the client.
func (t *tokens) check(token string) (accessClaims, error) {
	var c accessClaims
	if len(token) > maxToken {
		return c, errToken
	}
	_, err := t.parser.ParseWithClaims(token, &c, func(j *jwt.Token) (any, error) {
		kid, _ := j.Header["kid"].(string)
		key, ok := t.keys[kid]
		if !ok || j.Header["crit"] != nil { // RFC 7515, section 4.1.11: an extension that we do not know
			return nil, errToken
		}
		return key, nil
	})
	if err != nil {
		return accessClaims{}, errToken
	}
	return c, nil
}

// bound is what a one-time code is bound to, in the one text that the store keeps
// for us: who may exchange it, the epoch ("log out everywhere" ends codes too),
// and where to go then. No part has a space in it.
func bound(challenge string, epoch int64, returnTo string) string {
	return challenge + " " + strconv.FormatInt(epoch, 10) + " " + returnTo
}
