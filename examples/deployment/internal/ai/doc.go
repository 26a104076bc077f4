// Package ai streams answers of language models: one interface, and the wire
// formats of Anthropic, Gemini and DeepSeek behind it.
package ai
