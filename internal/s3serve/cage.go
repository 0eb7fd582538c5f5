package s3serve

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
)

// maxIdle is how many threads wait for work rather than end.
const maxIdle = 16

// cage runs functions with the buckets' directory as the working directory. The gateway's storage names every file relative
// to it, and would set it for the whole process: a second server, and everyone who opens a relative path, would find
// themselves elsewhere. So its calls run on threads that have a working directory of their own. Where threads cannot have
// one (see detach), the process moves into the directory after all, and a cage that finds itself elsewhere refuses to work.
type cage struct {
	dir    string
	shared bool // threads cannot have their own directory; the process has moved

	mu     sync.Mutex
	idle   []chan func()
	closed bool
}

// newCage tries out, on a thread that ends right after, whether threads can be on their own.
func newCage(dir string) (*cage, error) {
	tried := make(chan error)
	go func() {
		runtime.LockOSThread()
		tried <- detach()
	}()
	c := &cage{dir: dir, shared: <-tried != nil}
	if c.shared {
		if err := os.Chdir(dir); err != nil {
			return nil, fmt.Errorf("enter the S3 directory: %w", err)
		}
	}
	return c, nil
}

// do runs f and returns when it is done. A panic, which nobody on that thread would catch, becomes an error.
func (c *cage) do(f func()) error {
	jobs, err := c.take()
	if err != nil {
		return err
	}
	done := make(chan error)
	jobs <- func() { done <- caught(f) }
	return <-done
}

func caught(f func()) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	f()
	return nil
}

// take returns a waiting thread, or a new one.
func (c *cage) take() (chan func(), error) {
	c.mu.Lock()
	if n := len(c.idle); n > 0 {
		jobs := c.idle[n-1]
		c.idle = c.idle[:n-1]
		c.mu.Unlock()
		return jobs, nil
	}
	c.mu.Unlock()
	jobs, ready := make(chan func()), make(chan error)
	go c.thread(jobs, ready)
	return jobs, <-ready
}

// thread does the jobs sent to it until there are enough idle ones without it. It never unlocks its system thread, so that
// this ends with it, and nobody else gets to run in the directory.
func (c *cage) thread(jobs chan func(), ready chan<- error) {
	runtime.LockOSThread()
	err := c.enter()
	ready <- err
	if err != nil {
		return
	}
	for f := range jobs {
		f()
		if !c.rest(jobs) {
			return
		}
	}
}

// enter moves this thread into the directory.
func (c *cage) enter() error {
	if !c.shared {
		if err := detach(); err != nil {
			return fmt.Errorf("detach a thread: %w", err)
		}
		return os.Chdir(c.dir)
	}
	here, err := os.Stat(".")
	if err != nil {
		return err
	}
	there, err := os.Stat(c.dir)
	if err != nil {
		return err
	}
	if !os.SameFile(here, there) {
		return errors.New("the process has left the S3 directory, and its threads cannot have one of their own")
	}
	return nil
}

// rest makes a thread wait for more jobs, if it is needed.
func (c *cage) rest(jobs chan func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || len(c.idle) >= maxIdle {
		return false
	}
	c.idle = append(c.idle, jobs)
	return true
}

// close ends the threads as they become idle.
func (c *cage) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, jobs := range c.idle {
		close(jobs)
	}
	c.idle = nil
}
