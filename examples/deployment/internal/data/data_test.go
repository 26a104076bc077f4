package data_test

import (
	"context"
	"crypto/sha256"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/config"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/data"
	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/pgtest"
)

// TestEveryDatabaseDoesTheSame runs one table on SQLite, on PostgreSQL, and on
// PostgreSQL behind a PgBouncer that gives each transaction one of three server
// connections.
func TestEveryDatabaseDoesTheSame(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) {
		conform(t, func() config.Database { return sqliteFile(t) })
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		server := pgtest.Start(t)
		t.Run("direct", func(t *testing.T) {
			conform(t, func() config.Database { return config.Database{Driver: "postgres", DSN: server.Database(t)} })
		})
		t.Run("through PgBouncer", func(t *testing.T) {
			pooler := server.PgBouncer(t, "default_pool_size = 3")
			conform(t, func() config.Database {
				direct := server.Database(t)
				return config.Database{Driver: "postgres", DSN: pooler.DSN(direct), UnpooledDSN: direct}
			})
		})
	})
}

func conform(t *testing.T, newDatabase func() config.Database) {
	c := newDatabase()
	d := openMigrated(t, c)
	require.NoError(t, d.Ready(t.Context()))
	for name, check := range map[string]func(*testing.T, *data.DB){
		"a user is an issuer and a subject, not an e-mail address": userIsIssuerAndSubject,
		"text comes back as it was":                                textComesBack,
		"text that one database cannot keep is refused":            unstorableText,
		"times come back as they were":                             timesComeBack,
		"a code is taken once":                                     codeOnce,
		"an expired code is not taken, and goes":                   codeExpires,
		"logging out everywhere ends tokens and codes":             logoutEverywhere,
		"threads come newest first, page by page":                  threadPages,
		"messages come oldest first, page by page":                 messagePages,
		"another user's row is not found":                          scoped,
		"what is no ID is not found":                               noID,
		"what belongs to a row goes with it":                       cascades,
		"a change that fails changes nothing":                      allOrNothing,
		"800 transactions of 16 writers":                           manyTransactions,
		"a reader that pages meets every message":                  pagingMeetsAll,
		"a request that ends":                                      contextEnds,
		"an answer grows, is watched, stopped and ended":           answerLives,
		"one answer at a time in a thread":                         oneAnswer,
		"an abandoned answer is ended by whoever sees it":          abandonedAnswer,
		"a release before this one goes on adding messages":        oldRelease,
	} {
		t.Run(name, func(t *testing.T) { check(t, d) })
	}
	t.Run("ten replicas that start at once migrate once", func(t *testing.T) { migrateOnce(t, newDatabase()) })
	t.Run("readiness needs all migrations, and minds no more", func(t *testing.T) { readiness(t, newDatabase()) })
}

func userIsIssuerAndSubject(t *testing.T, d *data.DB) {
	login := func(issuer, subject, email string) data.User {
		u, err := d.UpsertUser(t.Context(), data.Identity{Issuer: issuer, Subject: subject, Email: email, Name: "N " + email})
		require.NoError(t, err)
		require.Equal(t, email, u.Email)
		require.Equal(t, "N "+email, u.Name)
		return u
	}
	subject := t.Name()
	first := login("https://one.example", subject, "a@example.org")
	assert.NotEqual(t, first.ID, login("https://two.example", subject, "a@example.org").ID, "another issuer")
	assert.NotEqual(t, first.ID, login("https://one.example", subject+"2", "a@example.org").ID, "another subject")

	again := login("https://one.example", subject, "new@example.org")
	assert.Equal(t, first.ID, again.ID)
	assert.Equal(t, first.CreatedAt, again.CreatedAt)
	read, err := d.User(t.Context(), first.ID)
	require.NoError(t, err)
	assert.Equal(t, again, read)

	long := strings.Repeat("x", 256)
	for _, who := range []data.Identity{
		{Issuer: "https://one.example"}, {Subject: "x"}, {}, {Issuer: "i", Subject: long}, {Issuer: long, Subject: "s"},
	} {
		_, err := d.UpsertUser(t.Context(), who)
		assert.ErrorIs(t, err, data.ErrInvalid)
	}
}

// hostile is text that a query built of strings would stumble over.
var hostile = []string{
	"'; DROP TABLE users; --", `" OR ""="`, "1' OR '1'='1", "$1", "?", "%s%d", "%", `\`, `\'`, "\\x00", "E'\\000'",
	"/*", "--", ";", "{}", "\n\r\t", " ", "", "Zoë 日本語 👩‍👩‍👧 \u202e", "\u00a0", "NULL", strings.Repeat("x", 1<<20),
}

func textComesBack(t *testing.T, d *data.DB) {
	for _, text := range hostile {
		key := text[:min(len(text), 250)]
		u, err := d.UpsertUser(t.Context(), data.Identity{Issuer: "i" + key, Subject: "s" + key, Email: text, Name: text})
		require.NoError(t, err)
		require.Equal(t, []string{"i" + key, "s" + key, text, text}, []string{u.Issuer, u.Subject, u.Email, u.Name})
		thread, err := d.CreateThread(t.Context(), u.ID, text)
		require.NoError(t, err)
		require.Equal(t, text, thread.Title)
		thread, err = d.RenameThread(t.Context(), u.ID, thread.ID, "."+text)
		require.NoError(t, err)
		require.Equal(t, "."+text, thread.Title)
		m := newMessage(t, d, u.ID, thread.ID, text)
		require.Equal(t, text, m.Content)
		m, err = d.EditMessage(t.Context(), u.ID, thread.ID, m.ID, "."+text)
		require.NoError(t, err)
		all, err := d.Messages(t.Context(), u.ID, thread.ID, "", 10)
		require.NoError(t, err)
		require.Equal(t, []data.Message{m}, all)
		require.Equal(t, "."+text, m.Content)
	}
}

func unstorableText(t *testing.T, d *data.DB) {
	u := newUser(t, d)
	thread := newThread(t, d, u.ID)
	m := newMessage(t, d, u.ID, thread.ID, "as it was")
	for _, text := range []string{"\x00", "a\x00b", "\xff", "\xed\xa0\x80", "a\xc3"} {
		_, err := d.UpsertUser(t.Context(), data.Identity{Issuer: "i", Subject: "s", Name: text})
		assert.ErrorIs(t, err, data.ErrInvalid)
		_, err = d.CreateThread(t.Context(), u.ID, text)
		assert.ErrorIs(t, err, data.ErrInvalid)
		_, err = d.RenameThread(t.Context(), u.ID, thread.ID, text)
		assert.ErrorIs(t, err, data.ErrInvalid)
		_, err = d.AddMessage(t.Context(), u.ID, thread.ID, "user", text)
		assert.ErrorIs(t, err, data.ErrInvalid)
		_, err = d.EditMessage(t.Context(), u.ID, thread.ID, m.ID, text)
		assert.ErrorIs(t, err, data.ErrInvalid)
		assert.ErrorIs(t, d.SaveCode(t.Context(), sha256.Sum256([]byte(text)), u.ID, text, time.Now().Add(time.Minute)), data.ErrInvalid)
	}
	for _, role := range []string{"", "User", "admin", "user'"} {
		_, err := d.AddMessage(t.Context(), u.ID, thread.ID, role, "hello")
		assert.ErrorIs(t, err, data.ErrInvalid)
	}
	for _, role := range []string{"user", "assistant", "system"} {
		m, err := d.AddMessage(t.Context(), u.ID, thread.ID, role, "hello")
		require.NoError(t, err)
		assert.Equal(t, role, m.Role)
	}
}

func timesComeBack(t *testing.T, d *data.DB) {
	before := time.Now().Add(-time.Microsecond)
	u := newUser(t, d)
	made := newThread(t, d, u.ID)
	read, err := d.Thread(t.Context(), u.ID, made.ID)
	require.NoError(t, err)
	assert.Equal(t, made, read)
	for _, at := range []time.Time{u.CreatedAt, made.CreatedAt, made.UpdatedAt} {
		assert.Equal(t, time.UTC, at.Location())
		assert.WithinRange(t, at, before, time.Now())
	}
	time.Sleep(time.Millisecond)
	newMessage(t, d, u.ID, made.ID, "hello")
	changed, err := d.Thread(t.Context(), u.ID, made.ID)
	require.NoError(t, err)
	assert.Equal(t, made.CreatedAt, changed.CreatedAt)
	assert.True(t, changed.UpdatedAt.After(made.UpdatedAt), "a message is a change of its thread")
}

func codeOnce(t *testing.T, d *data.DB) {
	u := newUser(t, d)
	hash := sha256.Sum256([]byte(t.Name()))
	require.NoError(t, d.SaveCode(t.Context(), hash, u.ID, "the challenge", time.Now().Add(time.Minute)))
	assert.Error(t, d.SaveCode(t.Context(), hash, u.ID, "another", time.Now().Add(time.Minute)), "the same hash again")

	var taken atomic.Int32
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			userID, challenge, err := d.TakeCode(t.Context(), hash)
			if err == nil {
				taken.Add(1)
				assert.Equal(t, u.ID, userID)
				assert.Equal(t, "the challenge", challenge)
			} else {
				assert.ErrorIs(t, err, data.ErrNotFound)
				assert.Empty(t, userID+challenge)
			}
		})
	}
	wg.Wait()
	assert.EqualValues(t, 1, taken.Load())
	_, _, err := d.TakeCode(t.Context(), sha256.Sum256([]byte("never saved")))
	assert.ErrorIs(t, err, data.ErrNotFound)
}

func codeExpires(t *testing.T, d *data.DB) {
	u := newUser(t, d)
	old := sha256.Sum256([]byte(t.Name() + "old"))
	require.NoError(t, d.SaveCode(t.Context(), old, u.ID, "c", time.Now().Add(-time.Microsecond)))
	_, _, err := d.TakeCode(t.Context(), old)
	assert.ErrorIs(t, err, data.ErrNotFound)

	live := sha256.Sum256([]byte(t.Name() + "live"))
	require.NoError(t, d.SaveCode(t.Context(), live, u.ID, "c", time.Now().Add(time.Minute)))
	assert.Equal(t, 1, count(t, d, "login_codes", "user_id = $1", u.ID), "the next login takes away what has expired")
	_, _, err = d.TakeCode(t.Context(), live)
	assert.NoError(t, err)

	gone := newUser(t, d)
	require.NoError(t, d.DeleteUser(t.Context(), gone.ID))
	assert.ErrorIs(t, d.SaveCode(t.Context(), old, gone.ID, "c", time.Now().Add(time.Minute)), data.ErrNotFound)
}

func logoutEverywhere(t *testing.T, d *data.DB) {
	u, other := newUser(t, d), newUser(t, d)
	hash, others := sha256.Sum256([]byte(u.ID)), sha256.Sum256([]byte(other.ID))
	require.NoError(t, d.SaveCode(t.Context(), hash, u.ID, "c", time.Now().Add(time.Minute)))
	require.NoError(t, d.SaveCode(t.Context(), others, other.ID, "c", time.Now().Add(time.Minute)))
	require.NoError(t, d.LogoutEverywhere(t.Context(), u.ID))
	require.NoError(t, d.LogoutEverywhere(t.Context(), u.ID))

	read, err := d.User(t.Context(), u.ID)
	require.NoError(t, err)
	assert.EqualValues(t, u.TokenEpoch+2, read.TokenEpoch)
	_, _, err = d.TakeCode(t.Context(), hash)
	assert.ErrorIs(t, err, data.ErrNotFound, "a code of before must not become a token of after")

	read, err = d.User(t.Context(), other.ID)
	require.NoError(t, err)
	assert.Equal(t, other, read)
	_, _, err = d.TakeCode(t.Context(), others)
	assert.NoError(t, err)
	again, err := d.UpsertUser(t.Context(), data.Identity{Issuer: u.Issuer, Subject: u.Subject})
	require.NoError(t, err)
	assert.EqualValues(t, u.TokenEpoch+2, again.TokenEpoch, "logging in again does not bring back old tokens")
}

func threadPages(t *testing.T, d *data.DB) {
	u := newUser(t, d)
	all, err := d.Threads(t.Context(), u.ID, "", 10)
	require.NoError(t, err)
	assert.Equal(t, []data.Thread{}, all, "none is an empty list, not null")

	var want []string
	for range 7 {
		want = append([]string{newThread(t, d, u.ID).ID}, want...)
	}
	var got []string
	for before := ""; ; {
		page, err := d.Threads(t.Context(), u.ID, before, 3)
		require.NoError(t, err)
		if len(page) == 0 {
			break
		}
		for _, thread := range page {
			got = append(got, thread.ID)
		}
		before = got[len(got)-1]
		// Neither of these moves the pages that follow.
		newThread(t, d, u.ID)
		require.NoError(t, d.DeleteThread(t.Context(), u.ID, before))
	}
	assert.Equal(t, want, got)

	_, err = d.Threads(t.Context(), u.ID, "not an ID", 3)
	assert.ErrorIs(t, err, data.ErrInvalid)
	for limit, n := range map[int]int{-1: 1, 0: 1, 2: 2, 1 << 40: 7} {
		page, err := d.Threads(t.Context(), u.ID, "", limit)
		require.NoError(t, err)
		assert.Len(t, page, min(n, len(page)), "limit %d", limit)
		assert.NotEmpty(t, page)
	}
}

func messagePages(t *testing.T, d *data.DB) {
	u := newUser(t, d)
	thread := newThread(t, d, u.ID)
	all, err := d.Messages(t.Context(), u.ID, thread.ID, "", 10)
	require.NoError(t, err)
	assert.Equal(t, []data.Message{}, all)

	var want, got []data.Message
	for range data.MaxPage + 5 {
		want = append(want, newMessage(t, d, u.ID, thread.ID, "hello"))
	}
	for after := ""; ; {
		page, err := d.Messages(t.Context(), u.ID, thread.ID, after, 1<<40)
		require.NoError(t, err)
		if len(page) == 0 {
			break
		}
		assert.LessOrEqual(t, len(page), data.MaxPage)
		got = append(got, page...)
		after = page[len(page)-1].ID
	}
	assert.Equal(t, want, got)
	_, err = d.Messages(t.Context(), u.ID, thread.ID, "'", 3)
	assert.ErrorIs(t, err, data.ErrInvalid)
}

// access is every method that takes IDs, on one thread and message.
func access(ctx context.Context, d *data.DB, userID, thread, message string) map[string]error {
	errs := map[string]error{}
	_, errs["Thread"] = d.Thread(ctx, userID, thread)
	_, errs["RenameThread"] = d.RenameThread(ctx, userID, thread, "changed")
	_, errs["Messages"] = d.Messages(ctx, userID, thread, "", 10)
	_, errs["AddMessage"] = d.AddMessage(ctx, userID, thread, "user", "changed")
	_, errs["EditMessage"] = d.EditMessage(ctx, userID, thread, message, "changed")
	_, errs["LastMessages"] = d.LastMessages(ctx, userID, thread, 10)
	_, errs["Message"] = d.Message(ctx, userID, thread, message)
	errs["DeleteMessage"] = d.DeleteMessage(ctx, userID, thread, message)
	errs["DeleteThread"] = d.DeleteThread(ctx, userID, thread)
	return errs
}

func scoped(t *testing.T, d *data.DB) {
	ada, eve := newUser(t, d), newUser(t, d)
	thread := newThread(t, d, ada.ID)
	message := newMessage(t, d, ada.ID, thread.ID, "private")
	before, err := d.Thread(t.Context(), ada.ID, thread.ID)
	require.NoError(t, err)

	for method, err := range access(t.Context(), d, eve.ID, thread.ID, message.ID) {
		assert.Equal(t, data.ErrNotFound, err, method)
	}
	all, err := d.Threads(t.Context(), eve.ID, "", 10)
	require.NoError(t, err)
	assert.Empty(t, all)

	// Through a thread of her own she does not get at another's message either.
	own := newThread(t, d, eve.ID)
	_, err = d.EditMessage(t.Context(), eve.ID, own.ID, message.ID, "changed")
	assert.Equal(t, data.ErrNotFound, err)
	assert.Equal(t, data.ErrNotFound, d.DeleteMessage(t.Context(), eve.ID, own.ID, message.ID))

	after, err := d.Thread(t.Context(), ada.ID, thread.ID)
	require.NoError(t, err)
	assert.Equal(t, before, after)
	messages, err := d.Messages(t.Context(), ada.ID, thread.ID, "", 10)
	require.NoError(t, err)
	assert.Equal(t, []data.Message{message}, messages)
	for method, err := range access(t.Context(), d, ada.ID, thread.ID, message.ID) {
		assert.NoError(t, err, method)
	}
}

func noID(t *testing.T, d *data.DB) {
	u := newUser(t, d)
	thread := newThread(t, d, u.ID)
	m := newMessage(t, d, u.ID, thread.ID, "hello")
	for _, bad := range append(hostile, "\x00", "\xff",
		strings.ToUpper(thread.ID), "{"+thread.ID+"}", strings.ReplaceAll(thread.ID, "-", ""), "urn:uuid:"+thread.ID,
		thread.ID+" ", thread.ID[:35], "%", "00000000-0000-0000-0000-000000000000", m.ID) {
		for method, err := range access(t.Context(), d, u.ID, bad, m.ID) {
			assert.Equal(t, data.ErrNotFound, err, "%s of %.40q", method, bad)
		}
		if bad == m.ID {
			continue
		}
		for method, err := range access(t.Context(), d, bad, thread.ID, m.ID) {
			assert.Equal(t, data.ErrNotFound, err, "%s by %.40q", method, bad)
		}
		_, err := d.EditMessage(t.Context(), u.ID, thread.ID, bad, "changed")
		assert.Equal(t, data.ErrNotFound, err)
		assert.Equal(t, data.ErrNotFound, d.DeleteMessage(t.Context(), u.ID, thread.ID, bad))
		_, err = d.User(t.Context(), bad)
		assert.Equal(t, data.ErrNotFound, err)
		_, err = d.CreateThread(t.Context(), bad, "title")
		assert.Equal(t, data.ErrNotFound, err)
		assert.Equal(t, data.ErrNotFound, d.LogoutEverywhere(t.Context(), bad))
		assert.Equal(t, data.ErrNotFound, d.DeleteUser(t.Context(), bad))
		assert.Equal(t, data.ErrNotFound, d.SaveCode(t.Context(), [32]byte{1}, bad, "c", time.Now().Add(time.Minute)))
	}
	messages, err := d.Messages(t.Context(), u.ID, thread.ID, "", 10)
	require.NoError(t, err)
	assert.Equal(t, []data.Message{m}, messages)
}

func cascades(t *testing.T, d *data.DB) {
	u := newUser(t, d)
	one, two := newThread(t, d, u.ID), newThread(t, d, u.ID)
	newMessage(t, d, u.ID, one.ID, "hello")
	newMessage(t, d, u.ID, two.ID, "hello")
	require.NoError(t, d.SaveCode(t.Context(), sha256.Sum256([]byte(u.ID)), u.ID, "c", time.Now().Add(time.Minute)))

	require.NoError(t, d.DeleteThread(t.Context(), u.ID, one.ID))
	assert.Equal(t, 0, count(t, d, "messages", "thread_id = $1", one.ID))
	assert.Equal(t, 1, count(t, d, "messages", "thread_id = $1", two.ID))
	assert.Equal(t, data.ErrNotFound, d.DeleteThread(t.Context(), u.ID, one.ID), "a second time")

	require.NoError(t, d.DeleteUser(t.Context(), u.ID))
	assert.Equal(t, 0, count(t, d, "messages", "thread_id = $1", two.ID))
	assert.Equal(t, 0, count(t, d, "threads", "user_id = $1", u.ID))
	assert.Equal(t, 0, count(t, d, "login_codes", "user_id = $1", u.ID))
	_, err := d.CreateThread(t.Context(), u.ID, "a user with a token, but no longer there")
	assert.Equal(t, data.ErrNotFound, err)
}

func allOrNothing(t *testing.T, d *data.DB) {
	u := newUser(t, d)
	thread := newThread(t, d, u.ID)
	elsewhere := newMessage(t, d, u.ID, newThread(t, d, u.ID).ID, "in another thread")
	time.Sleep(time.Millisecond)
	_, err := d.EditMessage(t.Context(), u.ID, thread.ID, elsewhere.ID, "changed")
	assert.Equal(t, data.ErrNotFound, err)
	assert.Equal(t, data.ErrNotFound, d.DeleteMessage(t.Context(), u.ID, thread.ID, elsewhere.ID))
	read, err := d.Thread(t.Context(), u.ID, thread.ID)
	require.NoError(t, err)
	assert.Equal(t, thread, read)
}

func answerLives(t *testing.T, d *data.DB) {
	u := newUser(t, d)
	thread := newThread(t, d, u.ID)
	newMessage(t, d, u.ID, thread.ID, "before")
	question, answer, err := d.StartAnswer(t.Context(), u.ID, thread.ID, "why?")
	require.NoError(t, err)
	assert.Equal(t, []string{"user", "why?", data.Done}, []string{question.Role, question.Content, question.State})
	assert.Equal(t, []string{"assistant", "", data.Streaming}, []string{answer.Role, answer.Content, answer.State})
	assert.Less(t, question.ID, answer.ID)

	saved, err := d.SaveAnswer(t.Context(), answer.ID, "be")
	require.NoError(t, err)
	assert.Equal(t, "be", saved.Content)
	assert.False(t, saved.StopAsked)
	require.NoError(t, d.WatchAnswer(t.Context(), answer.ID))
	require.NoError(t, d.StopAnswer(t.Context(), answer.ID))
	_, err = d.EditMessage(t.Context(), u.ID, thread.ID, answer.ID, "mine")
	require.ErrorIs(t, err, data.ErrStreaming)
	saved, err = d.SaveAnswer(t.Context(), answer.ID, "because")
	require.NoError(t, err)
	assert.Equal(t, "because", saved.Content)
	assert.True(t, saved.StopAsked)
	assert.True(t, saved.WatchedAt.After(answer.WatchedAt))

	saved.State, saved.Provider, saved.Model, saved.InputTokens, saved.OutputTokens = data.Stopped, "p", "m", 3, 1<<40
	require.NoError(t, d.EndAnswer(t.Context(), saved))
	read, err := d.Message(t.Context(), u.ID, thread.ID, answer.ID)
	require.NoError(t, err)
	saved.SavedAt = read.SavedAt
	assert.Equal(t, saved, read)

	// Ended is ended, and to end it again the same way is no error.
	require.NoError(t, d.EndAnswer(t.Context(), saved))
	other := saved
	other.Content = "another"
	assert.Equal(t, data.ErrNotFound, d.EndAnswer(t.Context(), other))
	other.Content, other.State = saved.Content, data.Done
	assert.Equal(t, data.ErrNotFound, d.EndAnswer(t.Context(), other))
	_, err = d.SaveAnswer(t.Context(), answer.ID, "more")
	assert.Equal(t, data.ErrNotFound, err)
	assert.Equal(t, data.ErrNotFound, d.StopAnswer(t.Context(), answer.ID))
	assert.Equal(t, data.ErrNotFound, d.WatchAnswer(t.Context(), answer.ID))
	assert.Equal(t, data.ErrNotFound, d.InterruptAnswer(t.Context(), answer.ID))
	_, err = d.EditMessage(t.Context(), u.ID, thread.ID, answer.ID, "mine")
	require.NoError(t, err)

	all, err := d.LastMessages(t.Context(), u.ID, thread.ID, 2)
	require.NoError(t, err)
	require.Len(t, all, 2)
	assert.Equal(t, []string{question.ID, answer.ID}, []string{all[0].ID, all[1].ID})
	eve := newUser(t, d)
	_, err = d.LastMessages(t.Context(), eve.ID, thread.ID, 2)
	assert.Equal(t, data.ErrNotFound, err)
	_, err = d.Message(t.Context(), eve.ID, thread.ID, answer.ID)
	assert.Equal(t, data.ErrNotFound, err)
	_, _, err = d.StartAnswer(t.Context(), eve.ID, thread.ID, "why?")
	assert.Equal(t, data.ErrNotFound, err)
}

func oneAnswer(t *testing.T, d *data.DB) {
	u := newUser(t, d)
	thread, other := newThread(t, d, u.ID), newThread(t, d, u.ID)
	var began atomic.Int32
	var wg sync.WaitGroup
	var question, answer data.Message
	for range 16 {
		wg.Go(func() {
			q, a, err := d.StartAnswer(t.Context(), u.ID, thread.ID, "why?")
			if err == nil {
				began.Add(1)
				question, answer = q, a
				return
			}
			assert.ErrorIs(t, err, data.ErrStreaming)
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, began.Load())
	assert.Equal(t, 2, count(t, d, "messages", "thread_id = $1", thread.ID), "what was refused left nothing")
	_, _, err := d.StartAnswer(t.Context(), u.ID, other.ID, "why?")
	require.NoError(t, err)
	_, _, err = d.StartAnswer(t.Context(), u.ID, other.ID, "a NUL \x00")
	require.ErrorIs(t, err, data.ErrInvalid)

	require.NoError(t, d.CancelAnswer(t.Context(), question, answer))
	assert.Equal(t, 0, count(t, d, "messages", "thread_id = $1", thread.ID))
	_, _, err = d.StartAnswer(t.Context(), u.ID, thread.ID, "why?")
	require.NoError(t, err)
}

func abandonedAnswer(t *testing.T, d *data.DB) {
	u := newUser(t, d)
	thread := newThread(t, d, u.ID)
	begin := func() data.Message {
		_, answer, err := d.StartAnswer(t.Context(), u.ID, thread.ID, "why?")
		require.NoError(t, err)
		answer, err = d.SaveAnswer(t.Context(), answer.ID, "be")
		require.NoError(t, err)
		return answer
	}
	abandon := func(m data.Message) data.Message {
		_, err := d.Raw().ExecContext(t.Context(), "UPDATE messages SET saved_at = $1 WHERE id = $2",
			time.Now().Add(-data.Abandoned-time.Second).UnixMicro(), m.ID)
		require.NoError(t, err)
		m, err = d.Message(t.Context(), u.ID, thread.ID, m.ID)
		require.NoError(t, err)
		return m
	}
	interrupted := func(m data.Message) {
		m, err := d.Message(t.Context(), u.ID, thread.ID, m.ID)
		require.NoError(t, err)
		assert.Equal(t, []string{"be", data.Failed, data.Interrupted}, []string{m.Content, m.State, m.Failure})
	}
	first := begin()
	assert.False(t, first.Abandoned())
	assert.Equal(t, data.ErrNotFound, d.InterruptAnswer(t.Context(), first.ID), "its owner lives")
	assert.True(t, abandon(first).Abandoned())
	require.NoError(t, d.InterruptAnswer(t.Context(), first.ID))
	interrupted(first)

	second := begin()
	abandon(second)
	third := begin() // the next question finds it
	interrupted(second)
	abandon(third)
	_, err := d.SaveAnswer(t.Context(), third.ID, "because")
	require.NoError(t, err, "its owner is back before anybody has noticed")
	assert.Equal(t, data.ErrNotFound, d.InterruptAnswer(t.Context(), third.ID))
}

// oldRelease has the statements of the first migration's program, which still
// serves while this one migrates.
func oldRelease(t *testing.T, d *data.DB) {
	u := newUser(t, d)
	thread := newThread(t, d, u.ID)
	id := newMessage(t, d, u.ID, thread.ID, "x").ID
	require.NoError(t, d.DeleteMessage(t.Context(), u.ID, thread.ID, id))
	var old struct {
		id, thread, role, content string
		created                   int64
	}
	require.NoError(t, d.Raw().QueryRowContext(t.Context(), `INSERT INTO messages (id, thread_id, role, content, created_at)
		VALUES ($1, $2, 'assistant', 'hello', 1) RETURNING id, thread_id, role, content, created_at`, id, thread.ID).
		Scan(&old.id, &old.thread, &old.role, &old.content, &old.created))
	m, err := d.Message(t.Context(), u.ID, thread.ID, id)
	require.NoError(t, err)
	assert.Equal(t, []string{"hello", data.Done}, []string{m.Content, m.State})
}

func manyTransactions(t *testing.T, d *data.DB) {
	u := newUser(t, d)
	thread := newThread(t, d, u.ID)
	require.NoError(t, write(t.Context(), d, u.ID, thread.ID, 16, 800))
	assert.Equal(t, 800, count(t, d, "messages", "thread_id = $1", thread.ID))
}

// pagingMeetsAll reads a thread, as a client that polls, while others write:
// a message that gets its ID early and is seen late would be missed.
func pagingMeetsAll(t *testing.T, d *data.DB) {
	u := newUser(t, d)
	thread := newThread(t, d, u.ID)
	written := make(chan error, 1)
	go func() { written <- write(t.Context(), d, u.ID, thread.ID, 8, 160) }()
	met := 0
	for after, done := "", false; ; {
		page, err := d.Messages(t.Context(), u.ID, thread.ID, after, 10)
		require.NoError(t, err)
		if met += len(page); len(page) > 0 {
			after = page[len(page)-1].ID
			continue
		}
		if done {
			break
		}
		select {
		case err := <-written:
			require.NoError(t, err)
			done = true
		default:
		}
	}
	assert.Equal(t, 160, met)
}

func contextEnds(t *testing.T, d *data.DB) {
	u := newUser(t, d)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	for range 30 { // more than there are connections: none is lost
		_, err := d.User(gone, u.ID)
		require.ErrorIs(t, err, context.Canceled)
		require.False(t, data.Unavailable(err), "the client has gone: %v", err)
		_, err = d.CreateThread(late, u.ID, "too late")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.True(t, data.Unavailable(err), "%v", err)
	}
	_, err := d.User(t.Context(), u.ID)
	assert.NoError(t, err)
}

func migrateOnce(t *testing.T, c config.Database) {
	var wg sync.WaitGroup
	wg.Go(func() { startChildren(t, 4, child{Database: c}) })
	var opened []*data.DB
	for range 6 {
		opened = append(opened, open(t, c))
	}
	for _, d := range opened { // at the same moment, as nearly as can be
		wg.Go(func() { assert.NoError(t, d.Migrate(t.Context())) })
	}
	wg.Wait()
	assert.Equal(t, 1, count(t, opened[0], "goose_db_version", "version_id = 1"))
}

func readiness(t *testing.T, c config.Database) {
	d := open(t, c)
	assert.Error(t, d.Ready(t.Context()))
	require.NoError(t, d.Migrate(t.Context()))
	assert.NoError(t, d.Ready(t.Context()))
	_, err := d.Raw().ExecContext(t.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, TRUE)")
	require.NoError(t, err)
	assert.NoError(t, d.Ready(t.Context()), "a newer release migrates while this one still serves")
	assert.NoError(t, d.Migrate(t.Context()), "and this one may start again")
	_, err = d.Raw().ExecContext(t.Context(), "DELETE FROM goose_db_version WHERE version_id > 0")
	require.NoError(t, err)
	assert.ErrorContains(t, d.Ready(t.Context()), "run migrate")
}
