package sse_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/ai/sse"
)

type event struct{ Type, Data, ID string }

// read takes everything that src holds.
func read(src io.Reader, limit int) (events []event, err error) {
	r := sse.NewReader(src, limit)
	for {
		e, err := r.Next()
		if err != nil {
			return events, err
		}
		events = append(events, event{string(e.Type), string(e.Data), string(e.ID)})
	}
}

// oracle is the standard's algorithm, word for word and slow: it takes the whole
// stream at once and makes all line ends the same first.
func oracle(stream string) (events []event) {
	stream = strings.TrimPrefix(stream, "\uFEFF")
	stream = strings.ReplaceAll(stream, "\r\n", "\n")
	stream = strings.ReplaceAll(stream, "\r", "\n")
	lines := strings.Split(stream, "\n")
	data, typ, id := "", "", ""
	for _, line := range lines[:len(lines)-1] { // the last one has no end
		if line == "" {
			if data == "" {
				typ = ""
				continue
			}
			events = append(events, event{typ, strings.TrimSuffix(data, "\n"), id})
			data, typ = "", ""
			continue
		}
		field, value := line, ""
		if i := strings.Index(line, ":"); i == 0 {
			continue
		} else if i > 0 {
			field, value = line[:i], strings.TrimPrefix(line[i+1:], " ")
		}
		switch field {
		case "event":
			typ = value
		case "data":
			data += value + "\n"
		case "id":
			if !strings.Contains(value, "\x00") {
				id = value
			}
		}
	}
	return events
}

// streams are the standard's own examples (HTML, section 9.2.6) and what is easily
// read wrongly.
var streams = []struct {
	name, stream string
	want         []event
}{
	{"the standard's stocks", "data: YHOO\ndata: +2\ndata: 10\n\n", []event{{Data: "YHOO\n+2\n10"}}},
	{"the standard's four blocks", ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n", []event{{Data: "first event", ID: "1"}, {Data: "second event"}, {Data: " third event"}}},
	{"the standard's empty data", "data\n\ndata\ndata\n\ndata:", []event{{}, {Data: "\n"}}},
	{"the standard's optional space", "data:test\n\ndata: test\n\n", []event{{Data: "test"}, {Data: "test"}}},
	{"no empty line at the end", "data: a\n\ndata: half\n", []event{{Data: "a"}}},
	{"no line end at the end", "data: a\n\ndata: half", []event{{Data: "a"}}},
	{"CR", "data: a\rdata: b\r\rdata: c\r\r", []event{{Data: "a\nb"}, {Data: "c"}}},
	{"CR LF", "data: a\r\ndata: b\r\n\r\n", []event{{Data: "a\nb"}}},
	{"all three mixed", "data: a\r\ndata: b\rdata: c\n\r\ndata: d\n\r", []event{{Data: "a\nb\nc"}, {Data: "d"}}},
	{"LF CR is two ends", "data: a\n\rdata: b\n\n", []event{{Data: "a"}, {Data: "b"}}},
	{"CR CR LF is two ends", "data: a\r\r\ndata: b\n\n", []event{{Data: "a"}, {Data: "b"}}},
	{"byte order mark", "\uFEFFdata: a\n\n", []event{{Data: "a"}}},
	{"only the first one is one", "\uFEFF\uFEFFdata: a\n\ndata: \uFEFFb\n\n", []event{{Data: "\uFEFFb"}}},
	{"a byte order mark in the second line", "\n\uFEFFdata: a\n\n", nil},
	{"nothing but one", "\uFEFF\n\n", nil},
	{"comments", ":\n: x\n:data: x\ndata: a\n:b\n\n", []event{{Data: "a"}}},
	{"a type without data is forgotten", "event: x\n\ndata: a\n\n", []event{{Data: "a"}}},
	{"the last type counts", "event: x\nevent: y\ndata: a\n\ndata: b\n\n", []event{{"y", "a", ""}, {Data: "b"}}},
	{"an empty type", "event: x\nevent\ndata: a\n\n", []event{{Data: "a"}}},
	{"the ID stays", "id: 1\ndata: a\n\ndata: b\n\n", []event{{Data: "a", ID: "1"}, {Data: "b", ID: "1"}}},
	{"an ID without data counts", "id: 1\n\ndata: b\n\n", []event{{Data: "b", ID: "1"}}},
	{"an ID with NUL does not", "id: 1\nid: 2\x003\ndata: a\n\n", []event{{Data: "a", ID: "1"}}},
	{"unknown fields", "foo: bar\nDATA: x\n data: x\ndata : x\nretry: 10\nretry: x\ndata: a\n\n", []event{{Data: "a"}}},
	{"a colon in the data", "data: a: b\ndata:: c\n\n", []event{{Data: "a: b\n: c"}}},
	{"one space only", "data:   a\n\n", []event{{Data: "  a"}}},
	{"a tab is no space", "data:\ta\n\n", []event{{Data: "\ta"}}},
	{"NUL and bytes that are not UTF-8", "data: a\x00\xff\n\n", []event{{Data: "a\x00\xff"}}},
	{"nothing", "", nil},
	{"line ends only", "\n\r\r\n\n", nil},
}

func TestStreamsAreReadAsTheStandardSays(t *testing.T) {
	for _, tt := range streams {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, tt.want, oracle(tt.stream), "the oracle")
			for name, src := range map[string]io.Reader{
				"whole":         strings.NewReader(tt.stream),
				"byte by byte":  iotest.OneByteReader(strings.NewReader(tt.stream)),
				"data with EOF": iotest.DataErrReader(strings.NewReader(tt.stream)),
			} {
				got, err := read(src, 1000)
				require.ErrorIs(t, err, io.EOF, name)
				assert.Equal(t, tt.want, got, name)
			}
			for at := range len(tt.stream) { // cut in two at every byte
				got, err := read(io.MultiReader(strings.NewReader(tt.stream[:at]), strings.NewReader(tt.stream[at:])), 1000)
				require.ErrorIs(t, err, io.EOF)
				assert.Equal(t, tt.want, got, "cut at %d", at)
			}
		})
	}
}

func TestAnEventIsThereAsSoonAsItsEmptyLineIs(t *testing.T) {
	for _, end := range []string{"\n\n", "\r\r", "\r\n\r"} {
		pr, pw := io.Pipe()
		go func() { _, _ = io.WriteString(pw, "data: a"+end) }() // and nothing more
		e, err := sse.NewReader(pr, 100).Next()
		require.NoError(t, err)
		assert.Equal(t, "a", string(e.Data), "%q", end)
		require.NoError(t, pw.Close())
	}
}

func TestNoLineAndNoEventGrowsBeyondTheLimit(t *testing.T) {
	endless := func(piece string) io.Reader { return &repeat{piece: piece} }
	for name, src := range map[string]io.Reader{
		"a line":               endless("x"),
		"a comment":            io.MultiReader(strings.NewReader(":"), endless("x")),
		"data":                 endless("data: 0123456789\n"),
		"empty data":           endless("data\n"),
		"a line just too long": strings.NewReader("data: " + strings.Repeat("x", 1000) + "\n\n"),
	} {
		events, err := read(src, 1000)
		require.ErrorIs(t, err, sse.ErrTooLong, name)
		assert.Empty(t, events, name)
	}
	fits := "data:" + strings.Repeat("x", 995)
	events, err := read(strings.NewReader(fits+"\n\n"+fits+"\n\n"), 1000)
	require.ErrorIs(t, err, io.EOF)
	assert.Len(t, events, 2)
}

type repeat struct {
	piece string
	at    int
}

func (r *repeat) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = r.piece[r.at%len(r.piece)]
		r.at++
	}
	return len(p), nil
}

func TestErrorsOfTheSourceComeThrough(t *testing.T) {
	broken := errors.New("broken")
	events, err := read(io.MultiReader(strings.NewReader("data: a\n\ndata: b\n"), iotest.ErrReader(broken)), 100)
	require.ErrorIs(t, err, broken)
	assert.Equal(t, []event{{Data: "a"}}, events)
	_, err = read(iotest.ErrReader(nil), 100)
	require.ErrorIs(t, err, io.ErrNoProgress)
}

func TestWhatBecameNoEventCanBeLookedAt(t *testing.T) {
	for stream, want := range map[string]string{
		"data: a\n\n": "",
		"data: a\n\n: comment\nretry: 1\n\n: half a com":    "",
		"foo: 1\ndata: a\n\nbar: 2\n\n":                     "bar: 2",
		"data: a\n\n{\n  \"error\": {}\n}\n\n":              `{  "error": {}}`,
		"data: a\n\n{\"error\": {}}":                        `{"error": {}}`,
		"data: a\n\ndata: {\"error\":\ndata: {}}\n":         "{\"error\":\n{}}\n",
		"data: a\n\n" + strings.Repeat("y", 5000) + "\nz\n": strings.Repeat("y", 4096),
		"data: a\n\n" + strings.Repeat("y", 5000):           strings.Repeat("y", 4096),
	} {
		r := sse.NewReader(iotest.OneByteReader(strings.NewReader(stream)), 10000)
		_, err := r.Next()
		require.NoError(t, err)
		_, err = r.Next()
		require.ErrorIs(t, err, io.EOF)
		assert.Equal(t, want, string(r.Rest()), stream)
	}
}

func TestEventsAreReadWithoutAllocating(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	r := sse.NewReader(&repeat{piece: anthropicDelta}, 1<<20)
	_, err := r.Next()
	require.NoError(t, err)
	assert.Zero(t, testing.AllocsPerRun(1000, func() { _, _ = r.Next() }))
}

const anthropicDelta = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hello\"}}\n\n"

// FuzzReader compares with the oracle however the bytes are cut into reads: two
// implementations agree.
func FuzzReader(f *testing.F) {
	for _, tt := range streams {
		f.Add([]byte(tt.stream), uint8(1))
		f.Add([]byte(tt.stream), uint8(7))
	}
	f.Fuzz(func(t *testing.T, stream []byte, step uint8) {
		want := oracle(string(stream))
		got, err := read(&steps{bytes.NewReader(stream), int(step)}, 1<<20)
		require.ErrorIs(t, err, io.EOF)
		require.Equal(t, want, got)
		// A small limit gives a prefix of the same events or all of them.
		got, err = read(&steps{bytes.NewReader(stream), int(step)}, 8)
		require.LessOrEqual(t, len(got), len(want))
		for i := range got {
			require.Equal(t, want[i], got[i])
		}
		if errors.Is(err, io.EOF) {
			require.Len(t, got, len(want))
		} else {
			require.ErrorIs(t, err, sse.ErrTooLong)
		}
	})
}

// steps reads n bytes at a time; 0: as many as fit.
type steps struct {
	r io.Reader
	n int
}

func (s *steps) Read(p []byte) (int, error) {
	if s.n > 0 && len(p) > s.n {
		p = p[:s.n]
	}
	return s.r.Read(p)
}

func BenchmarkReader(b *testing.B) {
	for name, stream := range map[string]string{
		"delta":    anthropicDelta,
		"comments": strings.Repeat(": keep-alive\n\n", 10) + anthropicDelta,
		"crlf":     strings.ReplaceAll(anthropicDelta, "\n", "\r\n"),
		"CRs":      strings.Repeat("\r", 10000) + anthropicDelta,
	} {
		b.Run(name, func(b *testing.B) {
			r := sse.NewReader(&repeat{piece: stream}, 1<<20)
			b.SetBytes(int64(len(stream)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Next(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
