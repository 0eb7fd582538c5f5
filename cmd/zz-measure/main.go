package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/batholith/batholith/internal/s3serve"
)

func rss() string {
	b, _ := os.ReadFile("/proc/self/status")
	for _, l := range strings.Split(string(b), "\n") {
		if strings.HasPrefix(l, "VmRSS") {
			return l
		}
	}
	return ""
}
func main() {
	fmt.Println("before", rss())
	t := time.Now()
	s, err := s3serve.New(s3serve.Options{Dir: os.Args[1], Region: "us-east-1", Owner: "0", Accounts: []s3serve.Account{{AccessKeyID: "AKTEST", Secret: "testsecret"}}})
	if err != nil {
		panic(err)
	}
	fmt.Println("new", time.Since(t))
	t = time.Now()
	if err := s.EnsureBucket("batholith"); err != nil {
		panic(err)
	}
	fmt.Println("bucket", time.Since(t))
	ln, _ := net.Listen("tcp", "127.0.0.1:"+os.Args[2])
	go s.Serve(context.Background(), ln)
	runtime.GC()
	fmt.Println("after", rss(), runtime.NumGoroutine())
	for { time.Sleep(5 * time.Second); fmt.Println(rss()) }
}
