package s3serve

import (
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
