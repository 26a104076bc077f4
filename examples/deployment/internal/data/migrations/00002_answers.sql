-- What an answer needs while it is being written, and keeps afterwards. A release
-- before this one goes on adding messages: every column has a default.

-- +goose Up
ALTER TABLE messages ADD COLUMN state TEXT NOT NULL DEFAULT 'done'
	CHECK (state IN ('done', 'streaming', 'stopped', 'failed'));
ALTER TABLE messages ADD COLUMN failure       TEXT   NOT NULL DEFAULT '';
ALTER TABLE messages ADD COLUMN provider      TEXT   NOT NULL DEFAULT '';
ALTER TABLE messages ADD COLUMN model         TEXT   NOT NULL DEFAULT '';
ALTER TABLE messages ADD COLUMN input_tokens  BIGINT NOT NULL DEFAULT 0;
ALTER TABLE messages ADD COLUMN output_tokens BIGINT NOT NULL DEFAULT 0;
ALTER TABLE messages ADD COLUMN saved_at      BIGINT NOT NULL DEFAULT 0;
ALTER TABLE messages ADD COLUMN watched_at    BIGINT NOT NULL DEFAULT 0;
ALTER TABLE messages ADD COLUMN stop_asked    BIGINT NOT NULL DEFAULT 0;

-- One answer at a time in a thread, whatever the replicas do.
CREATE UNIQUE INDEX messages_streaming ON messages (thread_id) WHERE state = 'streaming';
