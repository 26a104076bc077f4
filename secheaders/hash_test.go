package secheaders_test

import (
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"

	"github.com/gatehouse-go/gatehouse/secheaders"
)

func hashHTML(page string) (script, style []secheaders.Source, err error) {
	return secheaders.HashHTML(fstest.MapFS{"index.html": {Data: []byte(page)}}, "index.html")
}

func hashes(texts ...string) []secheaders.Source {
	var out []secheaders.Source
	for _, text := range texts {
		out = append(out, secheaders.SHA256([]byte(text)))
	}
	return out
}

func TestHashHTML(t *testing.T) {
	for page, want := range map[string]struct{ scripts, styles []string }{
		`<script>alert(1)</script>`:                                                {scripts: []string{"alert(1)"}},
		"<SCRIPT\n>\n a \n</SCRIPT\t>":                                             {scripts: []string{"\n a \n"}},
		"<script>a\r\nb\rc\x00</script>":                                           {scripts: []string{"a\nb\nc\uFFFD"}},
		`<script>a</script><script>b</script><script>a</script>`:                   {scripts: []string{"a", "b"}},
		`<script></script><style></style>`:                                         {styles: []string{""}},
		`<script> </script>`:                                                       {scripts: []string{" "}},
		`<script>"</scripting>" < 1</script>`:                                      {scripts: []string{`"</scripting>" < 1`}},
		`<script src=a.js>ignored</script>`:                                        {},
		`<script src>ignored</script>`:                                             {},
		`<script data-src="x" defer>a</script>`:                                    {scripts: []string{"a"}},
		`<script type="module">a</script>`:                                         {scripts: []string{"a"}},
		`<script type="importmap">{}</script>`:                                     {scripts: []string{"{}"}},
		`<script type=" TEXT/JavaScript ">a</script>`:                              {scripts: []string{"a"}},
		`<script type="&#109;odule">a</script>`:                                    {scripts: []string{"a"}},
		`<script type="">a</script>`:                                               {scripts: []string{"a"}},
		`<script language="JavaScript1.2">a</script>`:                              {scripts: []string{"a"}},
		`<script language="vbscript">a</script>`:                                   {},
		`<script type=" ">a</script>`:                                              {},
		`<script type="application/json">{"a":"<script>"}</script>`:                {},
		`<script type="text/javascript; charset=utf-8">a</script>`:                 {},
		`<script type="text/template"><b></script>`:                                {},
		`<script type=module type=application/json>a</script>`:                     {scripts: []string{"a"}},
		`<script nomodule>a</script>`:                                              {scripts: []string{"a"}},
		`<!-- <script>a</script> --><script>b</script>`:                            {scripts: []string{"b"}},
		`<!--><script>a</script>`:                                                  {scripts: []string{"a"}},
		`<!---><script>a</script>`:                                                 {scripts: []string{"a"}},
		`<!-- --!><script>a</script>`:                                              {scripts: []string{"a"}},
		`<!doctype html><script>a</script>`:                                        {scripts: []string{"a"}},
		`<?php "<script>" ?><script>a</script>`:                                    {scripts: []string{"a"}},
		`</ <script>><script>a</script>`:                                           {scripts: []string{"a"}},
		`<script><!-- <script></script> --></script>`:                              {scripts: []string{"<!-- <script></script> -->"}},
		`<script><!-- a </script>b</script>`:                                       {scripts: []string{"<!-- a "}},
		`<script><!--><script></script>`:                                           {scripts: []string{"<!--><script>"}},
		`<a title="<script>a</script>">`:                                           {},
		`<a title='"' x=<script>a</script>`:                                        {},
		`<title><script>a</script></title>`:                                        {},
		`<textarea><style>a</style></textarea><style>b</style>`:                    {styles: []string{"b"}},
		`<iframe><script>a</script></iframe>`:                                      {},
		`<template><script>a</script></template>`:                                  {scripts: []string{"a"}},
		`<noscript><style>a</style><script>b</script></noscript>`:                  {styles: []string{"a"}},
		`<plaintext><script>a</script>`:                                            {},
		`<style>a{}</style><style media=print>b</style>`:                           {styles: []string{"a{}", "b"}},
		`<style type="text/CSS">a</style>`:                                         {styles: []string{"a"}},
		`<style type="text/less">a</style>`:                                        {styles: []string{"a"}},
		`<style><!-- </style>`:                                                     {styles: []string{"<!-- "}},
		`<svg><style>a &amp; b</style></svg>`:                                      {styles: []string{"a & b"}},
		`<svg><style><![CDATA[a < b]]> c</style></svg>`:                            {styles: []string{"a < b c"}},
		`<svg><script>a &lt; b</script></svg><script>c &lt; d</script>`:            {scripts: []string{"a < b", "c &lt; d"}},
		`<svg><script href="x.js">a</script><script xlink:href=y>b</script></svg>`: {},
		`<svg><script src="x.js">a</script></svg>`:                                 {scripts: []string{"a"}},
		`<svg><script/><style/></svg><script>b</script>`:                           {scripts: []string{"b"}},
		`<svg/><script>a && b</script>`:                                            {scripts: []string{"a && b"}},
		`<svg><![CDATA[<script>a</script>]]></svg>`:                                {},
		`<![CDATA[<script>a</script>]]>`:                                           {scripts: nil},
		`<svg><title>&lt;<style>a &amp; b</style></title></svg>`:                   {styles: []string{"a &amp; b"}},
		`<svg><foreignObject><script>a &amp; b</script></foreignObject></svg>`:     {scripts: []string{"a &amp; b"}},
		`<svg><p><style>a &amp; b</style>`:                                         {styles: []string{"a &amp; b"}},
		`<svg></p><style>a &amp; b</style>`:                                        {styles: []string{"a &amp; b"}},
		`<`:                                                                        {}, `<a`: {}, `<a x`: {}, `<a x=`: {}, `<a x="`: {}, `<!`: {}, `<!--`: {}, `</`: {}, `</a`: {}, ``: {},
	} {
		script, style, err := hashHTML(page)
		require.NoError(t, err, page)
		assert.Equal(t, hashes(want.scripts...), script, page)
		assert.Equal(t, hashes(want.styles...), style, page)
	}
}

func TestHashHTMLRefusesWhatItCannotKnow(t *testing.T) {
	for page, says := range map[string]string{
		"<script>a":                              "never closed",
		"<style>a</styles>":                      "never closed",
		"<script><!-- <script> a </script>":      "never closed",
		"<script>\xff</script>":                  "is not UTF-8",
		"<svg><style>a<b></b></style></svg>":     "markup in it",
		"<svg><style>a<!-- b --></style></svg>":  "markup in it",
		"<svg><script>a":                         "never closed",
		"<svg><script><![CDATA[a</script></svg>": "never closed",
		"<noscript><style>a</noscript>":          "never closed",
	} {
		_, _, err := hashHTML(page)
		assert.ErrorContains(t, err, says, page)
		assert.ErrorContains(t, err, "index.html", page)
	}
	_, _, err := secheaders.HashHTML(fstest.MapFS{}, "index.html")
	assert.ErrorIs(t, err, fs.ErrNotExist)
}

func TestHashesOfAPageMakeAPolicy(t *testing.T) {
	script, style, err := hashHTML(`<style>b{}</style><script>start()</script>`)
	require.NoError(t, err)
	c := secheaders.Default()
	c.CSP.Script = append([]secheaders.Source{secheaders.Self}, script...)
	c.CSP.Style = append([]secheaders.Source{secheaders.Self}, style...)
	build(t, c)
	assert.Empty(t, secheaders.Lint(c))
}

// parsed finds the inline scripts and styles with a whole HTML parser.
func parsed(page string) (script, style []secheaders.Source) {
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		return nil, nil
	}
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode || n.Data != "script" && n.Data != "style" {
			continue
		}
		text, attr := "", map[string]string{}
		for c := range n.ChildNodes() {
			if c.Type == html.TextNode {
				text += c.Data
			}
		}
		for _, a := range n.Attr {
			attr[a.Key] = a.Val
		}
		h := secheaders.SHA256([]byte(text))
		_, src := attr["src"]
		switch {
		case n.Data == "style" && attr["type"] == "":
			style = append(style, h)
		case n.Data == "script" && !src && attr["type"] == "" && attr["language"] == "" && attr["href"] == "" && text != "":
			script = append(script, h)
		}
	}
	return script, style
}

// The oracle: for a page that a whole parser of the HTML standard reads with
// scripts and styles in it, HashHTML finds all of these, or refuses the page.
func FuzzHashHTML(f *testing.F) {
	for _, page := range []string{
		"<script>a</script><style>b</style>", "<svg><style>a&amp;<![CDATA[<]]></style></svg>", "<!-- <script>a</script> --!><script>b</script>",
		"<script><!-- <script> </script> --> </script>", "<noscript><style>a</style></noscript>", "<a b='<script>'><script>c</script>",
		"<textarea></title><script>a</script></textarea>", "<svg><foreignObject><style>&lt;</style>", "<math><mi><script>&lt;</script>",
		"<title/><script>a</script>", "<svg><p><script>a</script>", "<template><script>a</script></template>", "<style>a\r\nb\x00</style>",
	} {
		f.Add(page)
	}
	f.Fuzz(func(t *testing.T, page string) {
		script, style, err := hashHTML(page)
		if err != nil {
			return
		}
		page = strings.ReplaceAll(strings.ReplaceAll(page, "\r\n", "\n"), "\r", "\n")
		wantScript, wantStyle := parsed(page)
		for _, h := range wantScript {
			if !slices.Contains(script, h) {
				t.Fatalf("%q: a script is missing: %v has not all of %v", page, script, wantScript)
			}
		}
		for _, h := range wantStyle {
			if !slices.Contains(style, h) {
				t.Fatalf("%q: a style is missing: %v has not all of %v", page, style, wantStyle)
			}
		}
	})
}
