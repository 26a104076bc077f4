// Package chat asks a language model and streams its answer to whoever reads it.
//
// An answer outlives the request that asked for it. The process that calls the
// provider owns the answer: it keeps the text in memory, where any number of
// responses of this process read it, each at its own place ([answer]); it saves
// the text about twice a second; and it alone ends it. A client that lost its
// connection, closed its laptop or was told to come back attaches again, with the
// ID of the last event it got, and nothing is paid twice.
//
//	POST   /api/threads/{id}/chat                     asks, and streams the answer
//	GET    /api/threads/{id}/messages/{mid}/stream    attaches again
//	DELETE /api/threads/{id}/messages/{mid}/stream    stops the answer
//
// # Replicas
//
// The ID of an event is the number of bytes of the text that the client then has.
// So every replica can go on where another left off, with nothing but the row of
// the database: it follows the row and feeds what grows there into an [answer] of
// its own ([Hub.follow]). The row carries two words back to the owner, that
// somebody watches and that the answer is to stop. A row that nobody has saved for
// 15 seconds has lost its owner, and ends as interrupted with the text it has.
//
// # What it costs
//
// One place among the user's running answers, one request of the rule "ai", and
// tokens: before the call as many as it can cost, after it what it did cost
// ([budget]). The place is held for as long as the provider is paid, not for as
// long as somebody listens. An answer that nobody has watched for 10 seconds is
// cancelled; its text is kept.
//
// # The end of the process
//
// At SIGTERM all readers are told to attach again, and find another replica or
// the next release. The answers go on until SHUTDOWN_TIMEOUT is nearly over; those
// that are not done by then are saved as interrupted.
package chat
