package data_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/assert"

	"github.com/gatehouse-go/gatehouse/examples/deployment/internal/data"
)

func TestWhatIsWorthAnotherTryIsUnavailable(t *testing.T) {
	pg := func(code string) error { return &pgconn.PgError{Code: code, Severity: "ERROR"} }
	for _, err := range []error{
		context.DeadlineExceeded, driver.ErrBadConn, sql.ErrConnDone, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed,
		&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED},
		&pgconn.ConnectError{},
		pg("57014"), pg("57P01"), pg("57P02"), pg("57P03"), pg("53300"), pg("53100"), pg("55P03"),
		pg("40001"), pg("40P01"), pg("08006"), pg("25P03"), pg("25006"), pg("58030"),
		&pgconn.PgError{Code: "08P01", Severity: "FATAL", Message: "query_wait_timeout"},
	} {
		assert.True(t, data.Unavailable(err), "%v", err)
		assert.True(t, data.Unavailable(fmt.Errorf("api: %w", err)), "%v, wrapped", err)
		assert.False(t, data.Unavailable(errors.Join(context.Canceled, err)), "%v, and the client has gone", err)
	}
	for _, err := range []error{
		nil, errors.New("x"), data.ErrNotFound, data.ErrInvalid, sql.ErrNoRows, sql.ErrTxDone, context.Canceled,
		pg("23505"), pg("42601"), pg("42P01"), pg("22021"), pg("08P01"), pg(""), pg("5"),
	} {
		assert.False(t, data.Unavailable(err), "%v", err)
	}
}
