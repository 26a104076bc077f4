package data

import (
	"context"
	"database/sql"
	"encoding/hex"
	"time"
)

// Identity is what a provider says of somebody who logged in. Issuer and Subject
// together are the key: an e-mail address can be changed, and handed to somebody
// else.
type Identity struct{ Issuer, Subject, Email, Name string }

// User is somebody who has logged in once.
type User struct {
	ID                           string // UUIDv7
	Issuer, Subject, Email, Name string
	// TokenEpoch is part of every token; one with another epoch is refused.
	TokenEpoch int64
	CreatedAt  time.Time
}

const userColumns = "id, issuer, subject, email, name, token_epoch, created_at"

func scanUser(r row) (u User, err error) {
	err = r.Scan(&u.ID, &u.Issuer, &u.Subject, &u.Email, &u.Name, &u.TokenEpoch, stamp{&u.CreatedAt})
	return u, err
}

// UpsertUser returns the user with this issuer and subject, new or known, with
// the e-mail address and the name of today.
func (d *DB) UpsertUser(ctx context.Context, who Identity) (User, error) {
	// OpenID Connect Core 2 has a subject of at most 255 characters. Far longer ones
	// would not fit into PostgreSQL's index.
	if who.Issuer == "" || who.Subject == "" || len(who.Issuer) > 255 || len(who.Subject) > 255 ||
		!storable(who.Issuer, who.Subject, who.Email, who.Name) {
		return User{}, ErrInvalid
	}
	id, err := newID()
	if err != nil {
		return User{}, err
	}
	return one(ctx, d.write, scanUser, `
		INSERT INTO users (id, issuer, subject, email, name, created_at)
		VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (issuer, subject) DO UPDATE SET email = excluded.email, name = excluded.name
		RETURNING `+userColumns,
		id, who.Issuer, who.Subject, who.Email, who.Name, now().UnixMicro())
}

// User returns a user.
func (d *DB) User(ctx context.Context, id string) (User, error) {
	if !known(id) {
		return User{}, ErrNotFound
	}
	return one(ctx, d.read, scanUser, "SELECT "+userColumns+" FROM users WHERE id = $1", id)
}

// LogoutEverywhere ends all sessions of a user: it raises TokenEpoch, and drops
// login codes that nobody has exchanged yet.
func (d *DB) LogoutEverywhere(ctx context.Context, id string) error {
	if !known(id) {
		return ErrNotFound
	}
	return d.transaction(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := exec(ctx, tx, "UPDATE users SET token_epoch = token_epoch + 1 WHERE id = $1", id); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "DELETE FROM login_codes WHERE user_id = $1", id)
		return explain(ctx, err)
	})
}

// DeleteUser deletes a user with everything that is theirs.
func (d *DB) DeleteUser(ctx context.Context, id string) error {
	if !known(id) {
		return ErrNotFound
	}
	return exec(ctx, d.write, "DELETE FROM users WHERE id = $1", id)
}

// SaveCode keeps a one-time login code, of which only the hash is known here,
// with the challenge of the client that may exchange it.
func (d *DB) SaveCode(ctx context.Context, hash [32]byte, userID, challenge string, expires time.Time) error {
	if !known(userID) {
		return ErrNotFound
	}
	if !storable(challenge) {
		return ErrInvalid
	}
	return d.transaction(ctx, func(ctx context.Context, tx *sql.Tx) error {
		// Who adds takes away: what has expired since the last login is found by its
		// index, a few rows, and nothing has to run in the background.
		_, err := tx.ExecContext(ctx, "DELETE FROM login_codes WHERE expires_at <= $1", now().UnixMicro())
		if err != nil {
			return explain(ctx, err)
		}
		return exec(ctx, tx,
			"INSERT INTO login_codes (hash, user_id, challenge, expires_at) VALUES ($1, $2, $3, $4)",
			hex.EncodeToString(hash[:]), userID, challenge, expires.UnixMicro())
	})
}

// TakeCode returns whose code it is, once: of any number of callers, in any
// number of processes, one gets it. A code that was never saved, was taken or
// has expired is ErrNotFound.
func (d *DB) TakeCode(ctx context.Context, hash [32]byte) (userID, challenge string, err error) {
	code, err := one(ctx, d.write, func(r row) (c struct{ user, challenge string }, err error) {
		return c, r.Scan(&c.user, &c.challenge)
	}, "DELETE FROM login_codes WHERE hash = $1 AND expires_at > $2 RETURNING user_id, challenge",
		hex.EncodeToString(hash[:]), now().UnixMicro())
	return code.user, code.challenge, err
}
