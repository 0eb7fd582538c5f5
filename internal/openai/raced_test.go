package openai

import _ "github.com/batholith/batholith/internal/raced" // bubbles need one processor with the race detector
