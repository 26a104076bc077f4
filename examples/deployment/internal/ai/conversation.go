package ai

import (
	"errors"
	"fmt"
	"strings"
)

// conversation is a Request in the form that all vendors take.
type conversation struct {
	system string
	turns  []Message // user, assistant, user, ...: it begins and ends with user
}

func converse(req Request) (conversation, error) {
	var c conversation
	for i, m := range req.Messages {
		if strings.TrimSpace(m.Content) == "" {
			continue
		}
		last := len(c.turns) - 1
		switch {
		case m.Role == System:
			c.system = join(c.system, m.Content)
		case m.Role != User && m.Role != Assistant:
			return c, fmt.Errorf("the role of message %d is %q", i, m.Role)
		case last >= 0 && c.turns[last].Role == m.Role:
			c.turns[last].Content = join(c.turns[last].Content, m.Content)
		case last >= 0 || m.Role == User:
			c.turns = append(c.turns, m)
		}
	}
	if len(c.turns) == 0 || c.turns[len(c.turns)-1].Role != User {
		return c, errors.New("the last message must be the user's and hold text")
	}
	return c, nil
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + "\n\n" + b
}
