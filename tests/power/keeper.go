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

// keeperVariable has a test binary be a keeper, and names the directory.
const keeperVariable = "BATHOLITH_TEST_DISK"

// Keeper is a process of its own that has a mounted disk. A process must not wait for a file system that it serves itself: while one
// of its threads starts another process, or reads a page of a mapped file, the Go runtime may stop all others.
type Keeper struct {
	cmd    *exec.Cmd
	orders io.WriteCloser
	answer *bufio.Reader
}

// StartKeeper mounts an empty disk at a directory, in another process of this binary, which has to call [Keep].
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

// Lose takes the power away and mounts what is left; see [Disk.Lose]. No process may use the disk. A seed of 0 is no chance.
func (k *Keeper) Lose(seed uint64) error {
	if _, err := fmt.Fprintln(k.orders, seed); err != nil {
		return fmt.Errorf("tell the keeper of the disk: %w", err)
	}
	return k.done()
}

// Stop takes the disk away.
func (k *Keeper) Stop() error {
	k.orders.Close()
	return k.cmd.Wait()
}

// done waits until the keeper has done as it was told.
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

// Keep is a keeper's life, in a process that is one; it does not return then. It ends with its standard input.
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
