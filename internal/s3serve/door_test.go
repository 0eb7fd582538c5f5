package s3serve

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/batholith/batholith/internal/door"
)

// bounded serves a bucket within limits.
func bounded(t *testing.T, limits door.Limits) (server *Server, address string) {
	t.Helper()
	server, err := New(Options{Dir: t.TempDir(), Region: "us-east-1", Owner: "000000000000", Door: limits,
		Accounts: []Account{{AccessKeyID: "AKALICE", Secret: "secret"}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := server.EnsureBucket("bucket"); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, ln) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return server, ln.Addr().String()
}

func clientOf(address, id, secret string, transport *http.Transport) *s3.Client {
	return s3.New(s3.Options{Region: "us-east-1", BaseEndpoint: aws.String("http://" + address), UsePathStyle: true, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(id, secret, ""), HTTPClient: &http.Client{Transport: transport}})
}

func inside(s *Server) *http.Transport {
	return &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return s.Dial(ctx) }}
}

func writeAndRead(ctx context.Context, c *s3.Client) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if _, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("bucket"), Key: aws.String("k"), Body: strings.NewReader("x")}); err != nil {
		return err
	}
	out, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("bucket"), Key: aws.String("k")})
	if err != nil {
		return err
	}
	defer out.Body.Close()
	_, err = io.Copy(io.Discard, out.Body)
	return err
}

func TestStrangersKeepNobodyFromTheEmbeddedS3(t *testing.T) {
	for name, data := range map[string]string{
		"idle":       "",
		"slow heads": "GET / HTTP/1.1\r\nX: ",
		"half body":  "POST /bucket?delete HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n" + strings.Repeat("x", 60_000),
		"half form": "POST /bucket HTTP/1.1\r\nHost: h\r\nContent-Type: multipart/form-data; boundary=z\r\nContent-Length: 1000000\r\n\r\n" +
			"--z\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n" + strings.Repeat("x", 10_000),
		"half chunk": "PUT /bucket/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n" + strings.Repeat("x", 10_000),
	} {
		t.Run(name, func(t *testing.T) {
			server, address := bounded(t, door.Limits{Open: 60, Strangers: 30, PerAddress: 30, Bytes: 128 << 10})
			kept, private := &http.Transport{}, inside(server)
			defer kept.CloseIdleConnections()
			defer private.CloseIdleConnections()
			id, secret := server.Key()
			process, holder := clientOf(address, id, secret, private), clientOf(address, "AKALICE", "secret", kept)
			for i := range 200 {
				c, err := net.Dial("tcp", address)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				io.WriteString(c, data) // the server may have closed it
				if i%40 != 0 {
					continue
				}
				late := clientOf(address, "AKALICE", "secret", &http.Transport{DisableKeepAlives: true})
				if err := errors.Join(writeAndRead(t.Context(), holder), writeAndRead(t.Context(), late), writeAndRead(t.Context(), process)); err != nil {
					t.Fatalf("after %d strangers: %v", i, err)
				}
			}
		})
	}
}

// upload is an object on its way to the server.
type upload struct {
	more  *io.PipeWriter
	ended chan error
}

// underWay is more than sockets hold, so that who has sent it knows that it is being read: its signature was verified.
const underWay, theRest = 12 << 20, 1 << 20

func begin(t *testing.T, address string) *upload {
	t.Helper()
	holder := clientOf(address, "AKALICE", "secret", &http.Transport{})
	presigned, err := s3.NewPresignClient(holder).PresignPutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("bucket"), Key: aws.String("up")})
	if err != nil {
		t.Fatal(err)
	}
	body, more := io.Pipe()
	req, err := http.NewRequest(http.MethodPut, presigned.URL, body)
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = underWay + theRest
	u := &upload{more: more, ended: make(chan error, 1)}
	go func() {
		resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				err = errors.New(resp.Status)
			}
		}
		ended := err
		body.CloseWithError(errors.New("the upload has ended"))
		u.ended <- ended
	}()
	if _, err := more.Write(make([]byte, underWay)); err != nil {
		t.Fatal(err)
	}
	return u
}

func (u *upload) finish(t *testing.T) {
	t.Helper()
	if _, err := u.more.Write(make([]byte, theRest)); err != nil {
		t.Errorf("an upload under way was cut off: %v", err)
	}
	u.more.Close()
	if err := <-u.ended; err != nil {
		t.Error(err)
	}
}

// Key holders may use the public listener up; the process that runs their jobs has its own way in.
func TestTheProcessReachesItsStorageWhenThePublicListenerIsFull(t *testing.T) {
	server, address := bounded(t, door.Limits{Open: 3, Strangers: 2, PerAddress: 2, Young: time.Minute})
	private := inside(server)
	defer private.CloseIdleConnections()
	var uploads []*upload
	for range 3 {
		uploads = append(uploads, begin(t, address))
	}
	if err := writeAndRead(t.Context(), clientOf(address, "AKALICE", "secret", &http.Transport{DisableKeepAlives: true})); err == nil {
		t.Error("the public listener is not full; this law needs another way to be tried")
	}
	id, secret := server.Key()
	if err := writeAndRead(t.Context(), clientOf(address, id, secret, private)); err != nil {
		t.Error(err)
	}
	for _, u := range uploads {
		u.finish(t)
	}
}

func TestAnUploadUnderWayIsNotClosedForStrangers(t *testing.T) {
	_, address := bounded(t, door.Limits{Open: 20, Strangers: 4, PerAddress: 4, Bytes: 64 << 10, Patience: time.Second, Longest: time.Second})
	up := begin(t, address)
	stranger := func(data string) net.Conn {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, data)
		return c
	}
	for range 50 {
		defer stranger("").Close()
	}
	slow := stranger("GET / HTTP/1.1\r\nX: ") // is cut off in its time, which the upload outlives
	defer slow.Close()
	io.Copy(io.Discard, slow)
	up.finish(t)
}
