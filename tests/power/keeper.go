//go:build linux

package power

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
)

// keeperVariable is the environment variable that makes a test binary a keeper. Its value is the directory of the mount.
const keeperVariable = "BATHOLITH_TEST_DISK"

// Keeper is a separate process that serves a mounted disk. A process must not use a file system that it serves itself: while one
// of its threads starts a process, or reads a page of a mapped file, the Go runtime may stop all others, which would be a deadlock.
type Keeper struct {
	cmd    *exec.Cmd
	orders io.WriteCloser
	answer *bufio.Reader
}

// StartKeeper mounts an empty disk at a directory, in another process of this binary, whose TestMain must call [Keep].
func StartKeeper(dir string) (*Keeper, error) {
	k := &Keeper{cmd: exec.Command(os.Args[0])}
	k.cmd.Env, k.cmd.Stderr = append(os.Environ(), keeperVariable+"="+dir), os.Stderr
	var err error
	if k.orders, err = k.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := k.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	k.answer = bufio.NewReader(out)
	if err := k.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the keeper of the disk: %w", err)
	}
	return k, k.done()
}

// Lose simulates a loss of power and mounts what is left; see [Disk.Lose]. No process may use the disk meanwhile. With seed 0 nothing unsynced survives.
func (k *Keeper) Lose(seed uint64) error {
	if _, err := fmt.Fprintln(k.orders, seed); err != nil {
		return fmt.Errorf("tell the keeper of the disk: %w", err)
	}
	return k.done()
}

// Stop unmounts the disk and ends the process.
func (k *Keeper) Stop() error {
	k.orders.Close()
	return k.cmd.Wait()
}

// done waits for the keeper's answer to an order.
func (k *Keeper) done() error {
	line, err := k.answer.ReadString('\n')
	if err != nil {
		return fmt.Errorf("the keeper of the disk is gone: %w", err)
	}
	if line = strings.TrimSpace(line); line != "done" {
		return fmt.Errorf("the keeper of the disk: %s", line)
	}
	return nil
}

// Keep runs the keeper if this process is one, and then does not return. The keeper ends with its standard input.
func Keep() {
	dir := os.Getenv(keeperVariable)
	if dir == "" {
		return
	}
	disk := NewDisk()
	m, err := show(disk, dir)
	tell(err)
	for orders := bufio.NewScanner(os.Stdin); err == nil && orders.Scan(); tell(err) {
		var r *rand.Rand
		var seed uint64
		if _, err = fmt.Sscan(orders.Text(), &seed); seed != 0 {
			r = rand.New(rand.NewPCG(seed, 0))
		}
		if err == nil {
			err = m.Unmount()
		}
		if err == nil {
			disk = disk.Lose(r)
			m, err = show(disk, dir)
		}
	}
	m.abandon()
	os.Exit(0)
}

// tell answers an order.
func tell(err error) {
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("done")
}
