package mistakes_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse"
	"github.com/gatehouse-go/gatehouse/internal/mistakes"
)

func TestNoMistakeIsNoError(t *testing.T) {
	m := mistakes.In("spa")
	m.Append(nil)
	assert.Zero(t, m.Len())
	assert.NoError(t, m.Err())
}

func TestAllMistakesComeAtOnceAndInOrder(t *testing.T) {
	m := mistakes.In("spa")
	m.Add("FS", "", "is required")
	m.Add("Prefix", "a%d", "must begin with %q", "/")
	m.Append(errors.New("of another kind"))
	assert.Equal(t, 3, m.Len())
	err := m.Err()
	require.Error(t, err)
	assert.Equal(t, "spa: FS: is required\nspa: Prefix \"a%d\": must begin with \"/\"\nof another kind", err.Error())
	var ce *gatehouse.ConfigError
	require.ErrorAs(t, err, &ce)
	assert.Equal(t, gatehouse.ConfigError{Package: "spa", Field: "FS", Reason: "is required"}, *ce)
}

func TestAReasonWithoutArgumentsIsNoFormat(t *testing.T) {
	m := mistakes.In("p")
	m.Add("F", "", "100% wrong: %d")
	assert.EqualError(t, m.Err(), "p: F: 100% wrong: %d")
}
