package door

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
)

// A key holder's first request may be longer than all that strangers may hold, and neither takes the other's bytes.
func TestALongRequestThatNamesAKeyHasRoomBesideStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const bound, claimed = 64 << 10, 256 << 10
		n := newNetwork()
		l := Listen(n, Limits{Open: 1000, Strangers: 500, PerAddress: 500, Bytes: bound, Claimed: claimed}, nil)
		defer l.Close()
		connect := func() (net.Conn, *Conn) {
			client := n.from(here)
			return client, accepted(t, l)
		}
		send := func(client net.Conn, server *Conn, bytes int) {
			go client.Write(make([]byte, bytes))
			io.ReadFull(server, make([]byte, bytes))
		}
		long, upload := connect()
		send(long, upload, 1<<10) // the head
		upload.Claim()
		send(long, upload, claimed-2<<10)
		for range 200 {
			client, server := connect()
			send(client, server, 2<<10)
		}
		if !open(long) {
			t.Error("the long request was closed for what strangers hold")
		}
		if l.bytes > bound || l.claimed > claimed {
			t.Errorf("%d and %d bytes are held", l.bytes, l.claimed)
		}
		second, other := connect()
		send(second, other, 1<<10)
		other.Claim()
		send(second, other, 4<<10)
		if open(long) || !open(second) {
			t.Error("the claims hold more than their share")
		}
		other.Rest()
		if l.claimed != 0 {
			t.Errorf("%d bytes of claims are left", l.claimed)
		}
		send(second, other, bound+1)
		if open(second) {
			t.Error("the claim of one request counts for the next")
		}
		third, proven := connect()
		send(third, proven, 1<<10)
		proven.Claim()
		proven.Prove()
		if send(third, proven, 2*claimed); l.claimed != 0 || !open(third) {
			t.Error("a proven request is still counted")
		}
	})
}
