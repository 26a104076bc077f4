package ai_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/ai"
)

func TestWithoutKeysTheEchoAnswers(t *testing.T) {
	p, err := ai.New(ai.Settings{EchoDelay: -1}, nil)
	require.NoError(t, err)
	var pieces []string
	result, err := p.Stream(t.Context(), ai.Request{Messages: []ai.Message{{ai.User, "say this again "}}}, func(s string) error {
		pieces = append(pieces, s)
		return nil
	})
	require.NoError(t, err)
	assert.Equal(t, []string{"say ", "this ", "again "}, pieces)
	assert.Equal(t, ai.Result{Provider: "echo", Model: "echo", StopReason: ai.StopEnd, Usage: ai.Usage{Input: 3, Output: 3}}, result)
}
