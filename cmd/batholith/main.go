// Command batholith is Amazon Bedrock batch inference on your own machines. See batholith --help.
package main

import (
	"os"

	"github.com/batholith/batholith/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:]))
}
