// Command batholith runs Amazon Bedrock batch inference on your own machines. `batholith --help` lists its
// commands.
package main

import (
	"os"

	"github.com/batholith/batholith/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:]))
}
