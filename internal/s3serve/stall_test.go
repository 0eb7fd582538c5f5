package s3serve

import (
	"bufio"
	"crypto/rand"
	"io"
	"net"
	"testing"
	"time"
)

// A client that dialled ahead must not make the server take its whole time to stop.
func TestConnectionsWithoutARequestEndWhenTheServerStops(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	door := &impatient{Listener: ln}
	defer door.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := door.Accept()
	if err != nil {
		t.Fatal(err)
	}
	busy, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	serving, err := door.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := busy.Write([]byte("G")); err != nil {
		t.Fatal(err)
	}
	if _, err := serving.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}

	door.hangUp()
	if _, err := server.Read(make([]byte, 1)); err == nil {
		t.Error("a connection without a request is still open")
	}
	if _, err := serving.Write([]byte("H")); err != nil {
		t.Errorf("a request was cut off: %v", err)
	}
	late, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	if c, err := door.Accept(); err == nil {
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("a late connection is taken")
		}
	}
	if err := client.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Read(make([]byte, 1)); err == nil {
		t.Error("the client hears nothing of it")
	}
}

// countedConn counts writes.
type countedConn struct {
	net.Conn
	writes, bytes int
}

func (c *countedConn) SetWriteDeadline(time.Time) error { return nil }

func (c *countedConn) Write(p []byte) (int, error) {
	c.writes++
	c.bytes += len(p)
	return len(p), nil
}

func TestObjectsAreWrittenInLargePieces(t *testing.T) {
	conn := &countedConn{}
	w := bufio.NewWriter(&stalling{Conn: conn, of: &impatient{}}) // as the HTTP server has it
	const size = 1 << 20
	n, err := io.Copy(w, io.LimitReader(rand.Reader, size))
	if err != nil || n != size || w.Flush() != nil || conn.bytes != size {
		t.Fatalf("%d bytes copied, %d written: %v", n, conn.bytes, err)
	}
	if most := size/pieceBytes + 1; conn.writes > most {
		t.Errorf("%d writes, want at most %d", conn.writes, most)
	}
}
