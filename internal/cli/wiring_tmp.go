package cli

import (
	"context"
	"errors"
	"log/slog"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/config"
)

type serveOptions struct {
	Config *config.Config
	Log    *slog.Logger
	Ready  func(addresses)
}

type addresses struct{ Bedrock, S3 string }

type localOptions struct {
	Config *config.Config
	Inputs []string
	Model  string
	Type   batholith.InvocationType
	Output string
	Log    *slog.Logger
}

type localResult struct {
	Job      batholith.Job
	Dir      string
	Outputs  []string
	Manifest string
	Resumed  bool
}

func serve(ctx context.Context, o serveOptions) error { return errors.New("serve is not wired") }

func runLocal(ctx context.Context, o localOptions, onProgress func(batholith.Job)) (localResult, error) {
	return localResult{}, errors.New("run is not wired")
}
