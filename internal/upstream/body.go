package upstream

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/batholith/batholith"
)

const (
	// maxAnswer is the longest answer that is read, in bytes.
	maxAnswer = 64 << 20
	// freeAnswer is how much of an answer is read without asking for room: all of most answers.
	freeAnswer = 16 << 10
	// oneAnswer is how long an announced answer is read in one piece. It is trusted with so much.
	oneAnswer = 256 << 10
	// A longer one is read in pieces, each as long as all before it, between these two.
	leastPiece = 64 << 10
	mostPiece  = 1 << 20
)

var tooLong = fmt.Sprintf("is longer than %d MiB", maxAnswer>>20)

// readAll reads the body of a 200. What a server announces takes little memory, only what has come takes more: room is asked for before each piece is
// read. A server that sends more than there is room for is held up by its connection.
func readAll(ctx context.Context, resp *http.Response, room batholith.Room) ([]byte, error) {
	n := resp.ContentLength
	if n > maxAnswer {
		return nil, &mangled{how: tooLong}
	}
	if n >= 0 && n <= oneAnswer {
		if n > freeAnswer && room != nil {
			if err := room.Grow(ctx, int(n)); err != nil {
				return nil, err
			}
		}
		body := make([]byte, n)
		_, err := io.ReadFull(resp.Body, body)
		return body, err
	}
	head, err := io.ReadAll(io.LimitReader(resp.Body, freeAnswer))
	if err != nil || len(head) < freeAnswer {
		return head, err
	}
	return readPieces(ctx, resp.Body, n, head, room)
}

// readPieces reads what follows head. The length is -1 where it is not known.
func readPieces(ctx context.Context, r io.Reader, length int64, head []byte, room batholith.Room) ([]byte, error) {
	pieces, total := [][]byte{head}, len(head)
	for ended := false; !ended; {
		size := min(max(total, leastPiece), mostPiece)
		if length >= 0 {
			size = min(size, int(length)-total)
		}
		if size == 0 {
			break
		}
		if room != nil {
			if err := room.Grow(ctx, size); err != nil {
				return nil, err
			}
		}
		piece, err := readPiece(r, make([]byte, 0, size))
		if ended = err == io.EOF; err != nil && !ended {
			return nil, err
		}
		pieces, total = append(pieces, piece), total+len(piece)
		if total > maxAnswer {
			return nil, &mangled{how: tooLong}
		}
	}
	if room != nil {
		defer room.Alone(total)()
	}
	body := make([]byte, 0, total)
	for i, p := range pieces {
		body = append(body, p...)
		pieces[i] = nil
	}
	return body, nil
}

// readPiece fills the capacity of p. io.EOF says that the answer ended, in the way that it should; io.ReadFull would not tell that from an
// answer that was cut off.
func readPiece(r io.Reader, p []byte) ([]byte, error) {
	for len(p) < cap(p) {
		n, err := r.Read(p[len(p):cap(p)])
		p = p[:len(p)+n]
		if err != nil {
			return p, err
		}
	}
	return p, nil
}

// patience is the time of one attempt. Waiting for room is no fault of the server, and takes nothing of it.
type patience struct {
	batholith.Room
	timer  *time.Timer
	end    time.Time // while the timer runs
	waited bool      // at least once
}

// newPatience has cancel called once the time is over.
func newPatience(d time.Duration, room batholith.Room, cancel context.CancelCauseFunc) *patience {
	return &patience{Room: room, end: time.Now().Add(d), timer: time.AfterFunc(d, func() { cancel(errTimeout) })}
}

// Grow implements [batholith.Room].
func (p *patience) Grow(ctx context.Context, n int) error {
	began := time.Now()
	if !p.timer.Stop() {
		return context.Cause(ctx) // it is over, or will be in a moment
	}
	err := p.Room.Grow(ctx, n)
	if waited := time.Since(began); waited > 0 {
		p.end, p.waited = p.end.Add(waited), p.waited || waited > time.Second
	}
	p.timer.Reset(time.Until(p.end))
	return err
}
