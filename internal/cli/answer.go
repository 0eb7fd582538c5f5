package cli

import (
	"encoding/json"

	"github.com/batholith/batholith/internal/preview"
)

// answerOf returns the text of a modelOutput for a line of a summary: the first one; without any the output as it is, and "" if it is no JSON object.
func answerOf(output []byte) string {
	if all := preview.Answer(output); len(all) > 0 {
		return all[0]
	}
	var body map[string]any
	if json.Unmarshal(output, &body) != nil {
		return ""
	}
	return string(output)
}
