package redisstore_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/gatehouse-go/gatehouse/internal/redistest"
	"github.com/gatehouse-go/gatehouse/ratelimit"
	"github.com/gatehouse-go/gatehouse/ratelimit/redisstore"
)

// Two replicas are two processes. One has a clock that is an hour ahead: the
// store's own, since a Go program's system clock cannot be set for one process.
func TestTwoProcessesWithClocksAnHourApartGetBurstAndRefillExactly(t *testing.T) {
	if task := os.Getenv("GATEHOUSE_REPLICA"); task != "" {
		replica(t, task)
		return
	}
	client := redistest.Start(t).Client()
	b := bucket(3000, 10*second)
	s := open(t, redisstore.Config{Client: client})
	half := b
	half.Cost = b.Cap / 2
	require.True(t, do(t, s, ratelimit.OpTake, half)[0].OK)
	_, began := stored(t, client, b)

	granted := half.Cost / b.Period
	var outputs []chan string
	for i := range 2 {
		task, err := json.Marshal(replicaTask{client.Options().Addr, b, time.Duration(i) * time.Hour})
		require.NoError(t, err)
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), "GATEHOUSE_REPLICA="+string(task))
		output := make(chan string, 1)
		outputs = append(outputs, output)
		go func() {
			text, err := cmd.CombinedOutput()
			output <- fmt.Sprint(string(text), err)
		}()
	}
	for _, output := range outputs {
		text := <-output
		_, rest, found := strings.Cut(text, "granted=")
		require.True(t, found, text)
		n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
		require.NoError(t, err)
		require.Positive(t, n)
		granted += n
	}
	level, ended := stored(t, client, b)
	require.Equal(t, b.Cap+b.Rate*(ended-began), granted*b.Period+level)
}

type replicaTask struct {
	Addr   string
	Bucket ratelimit.Bucket
	Ahead  time.Duration
}

func replica(t *testing.T, text string) {
	var task replicaTask
	require.NoError(t, json.Unmarshal([]byte(text), &task))
	client := redis.NewClient(&redis.Options{Addr: task.Addr})
	defer client.Close()
	s := open(t, redisstore.Config{Client: client, Timeout: 10 * time.Second, MaxStale: 100 * time.Millisecond})
	redisstore.Skew(s, task.Ahead)
	var granted atomic.Int64
	together(5000, func(int) {
		levels := make([]ratelimit.Level, 1)
		for range 4 {
			if err := s.Do(context.Background(), ratelimit.OpTake, []ratelimit.Bucket{task.Bucket}, levels); err != nil {
				t.Error(err)
			}
			if levels[0].OK {
				granted.Add(1)
			}
		}
	})
	fmt.Printf("granted=%d \n", granted.Load())
}
