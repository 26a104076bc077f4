-- One text for SQLite and PostgreSQL. Times are microseconds since 1970 (UTC),
-- IDs are UUIDv7 as lower-case text. There is no Down: a migration is undone by
-- the next one, or by a backup.

-- +goose Up
CREATE TABLE users (
	id          TEXT   NOT NULL PRIMARY KEY,
	issuer      TEXT   NOT NULL,
	subject     TEXT   NOT NULL,
	email       TEXT   NOT NULL,
	name        TEXT   NOT NULL,
	token_epoch BIGINT NOT NULL DEFAULT 0,
	created_at  BIGINT NOT NULL,
	UNIQUE (issuer, subject)
);

CREATE TABLE login_codes (
	hash       TEXT   NOT NULL PRIMARY KEY,
	user_id    TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	challenge  TEXT   NOT NULL,
	expires_at BIGINT NOT NULL
);
CREATE INDEX login_codes_by_expiry ON login_codes (expires_at);
CREATE INDEX login_codes_by_user ON login_codes (user_id);

CREATE TABLE threads (
	id         TEXT   NOT NULL PRIMARY KEY,
	user_id    TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
	title      TEXT   NOT NULL,
	created_at BIGINT NOT NULL,
	updated_at BIGINT NOT NULL
);
CREATE INDEX threads_by_user ON threads (user_id, id);

CREATE TABLE messages (
	id         TEXT   NOT NULL PRIMARY KEY,
	thread_id  TEXT   NOT NULL REFERENCES threads (id) ON DELETE CASCADE,
	role       TEXT   NOT NULL CHECK (role IN ('user', 'assistant', 'system')),
	content    TEXT   NOT NULL,
	created_at BIGINT NOT NULL
);
CREATE INDEX messages_by_thread ON messages (thread_id, id);
