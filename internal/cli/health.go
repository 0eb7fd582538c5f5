package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/words"
)

// healthTime bounds the question of the command health.
const healthTime = 5 * time.Second

// healthCommand returns the command health, the probe of containers that have no other program.
func (a *app) healthCommand() *cobra.Command {
	var live bool
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Ask the server of the data directory whether it is ready",
		Long: `Ask the server of the data directory whether it is ready: /readyz of its API, or of a worker. It needs no key.
It is the probe of an image without other programs. batholith doctor looks closer.

Exit codes: 0 it is ready, 1 it is not, or it does not answer within 5 s.`,
		Example: `  batholith health --data /var/lib/batholith
  HEALTHCHECK CMD ["/batholith", "health", "--data", "/data"]`,
		Args: arguments(0, -1, ""),
	}
	s := a.bindSettings(cmd, "data")
	cmd.Flags().BoolVar(&live, "live", false, "ask only whether the process answers (/healthz)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := a.load(s)
		if err != nil {
			return err
		}
		said, err := askHealth(cmd.Context(), c.Data, live)
		if err != nil {
			return err
		}
		return writeLines(a.stdout, said)
	}
	return cmd
}

// askHealth returns the answer of the server of a data directory, or an error if it is not ready.
func askHealth(ctx context.Context, data string, live bool) (string, error) {
	server, err := config.ReadServer(data)
	if errors.Is(err, os.ErrNotExist) {
		return "", hint(fmt.Errorf("no server is running for %s", data), "start one with: batholith serve; or name another directory with --data DIR")
	} else if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, healthTime)
	defer cancel()
	path := "/readyz"
	if live {
		path = "/healthz"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.Bedrock+path, nil)
	if err != nil {
		return "", err
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: rootsOf(server)}}} // without a proxy: it is this machine
	resp, err := client.Do(req)
	if err != nil {
		if why := words.Network(err); why != "" {
			return "", errors.New(why)
		}
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return "", fmt.Errorf("read the answer of %s: %w", server.Bedrock, err)
	}
	said := strings.TrimSpace(string(text))
	if resp.StatusCode != http.StatusOK {
		return "", errors.New(said)
	}
	return said, nil
}

// notifyManager tells the service manager that started this process a state (sd_notify(3)). Without one, it does nothing. A state that
// cannot be sent is no reason to end.
func notifyManager(state string) { _, _ = daemon.SdNotify(false, state) }

// States for notifyManager.
const (
	managerReady    = daemon.SdNotifyReady
	managerStopping = daemon.SdNotifyStopping
)
