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
	// maxAnswer is the longest answer in bytes.
	maxAnswer = 64 << 20
	// freeAnswer is how many bytes of an answer are read without reserving memory first. Most
	// answers are shorter.
	freeAnswer = 16 << 10
	// oneAnswer is the largest Content-Length for which memory is allocated at once.
	oneAnswer = 256 << 10
	// A longer answer is read in pieces. Each is as long as all pieces before it, within these
	// two bounds in bytes.
	leastPiece = 64 << 10
	mostPiece  = 1 << 20
)

var tooLong = fmt.Sprintf("is longer than %d MiB", maxAnswer>>20)

// readAll reads the body of a 200 answer. A large Content-Length alone reserves no memory:
// memory is reserved for each piece before it is read. A server that sends faster than memory
// is available is slowed down by TCP flow control.
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

// readPieces reads what follows head. length is the total length, or -1 if unknown.
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

// readPiece fills p up to its capacity. io.EOF means that the answer ended regularly.
// io.ReadFull is not used because it does not distinguish that from an answer that was cut off.
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

// patience is the timeout of one attempt. Time spent waiting for our own memory does not count,
// because it is not the server's fault.
type patience struct {
	batholith.Room
	timer  *time.Timer
	end    time.Time // when the timer expires
	waited bool      // Grow has waited for more than a second
}

// newPatience starts the timeout d. When it expires it calls cancel(errTimeout).
func newPatience(d time.Duration, room batholith.Room, cancel context.CancelCauseFunc) *patience {
	return &patience{Room: room, end: time.Now().Add(d), timer: time.AfterFunc(d, func() { cancel(errTimeout) })}
}

// Grow implements [batholith.Room]. It stops the timer while it waits.
func (p *patience) Grow(ctx context.Context, n int) error {
	began := time.Now()
	if !p.timer.Stop() {
		return context.Cause(ctx) // the timeout has expired or is about to be reported
	}
	err := p.Room.Grow(ctx, n)
	if waited := time.Since(began); waited > 0 {
		p.end, p.waited = p.end.Add(waited), p.waited || waited > time.Second
	}
	p.timer.Reset(time.Until(p.end))
	return err
}
