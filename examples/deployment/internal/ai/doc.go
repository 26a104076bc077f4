// Package ai streams answers of language models: one interface, Provider, and the
// wire formats of Anthropic, Gemini and DeepSeek behind it.
//
//	p, err := ai.New(ai.Settings{Anthropic: ai.Endpoint{Key: key, Model: model}}, nil)
//	result, err := p.Stream(ctx, ai.Request{Messages: messages}, func(text string) error { ... })
//
// # Why no SDK
//
// The vendors' SDKs (anthropic-sdk-go, genai, openai-go) return a nil error for a
// stream that was cut, and repeat paid calls by default. The three together add
// minutes to a build and tens of megabytes to a binary. What an application needs
// of each is one request and half a dozen events: a file of some 130 lines.
//
// # What holds for every provider
//
//   - Stream returns nil only after the vendor's terminal event, with a stop reason
//     that is known and with some text. Gemini has no terminal event: there it is a
//     clean end behind a finishReason, with nothing else in between.
//   - One call is one request. Nothing repeats it, not even net/http on a connection
//     that died, and no redirect is followed. The next provider is asked only if no
//     text was emitted and the error is none that it would repeat; what the failed
//     attempt cost is in Usage.
//   - Silence has an end: FirstByte until text or thoughts come, Idle between bytes,
//     Total for all of it. Pings and comments count for Idle only.
//   - When ctx ends, the connection is closed at once.
//   - What a hostile upstream can make us hold is bounded: an event and the text of
//     an answer to 1 MiB, everything read of it to 64 MiB, the body of an error to
//     64 KiB, its message to 300 printable bytes.
//   - Keys are in headers only: in no URL, error, log or dump.
//
// What it does not do: tools, images, thoughts, prompt caches, structured output,
// several candidates, and no circuit breaker: a provider that is down is asked
// first each time, until FirstByte.
//
// Tests of other packages find the vendors' fakes in aitest.
package ai
