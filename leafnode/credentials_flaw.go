package leafnode

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// credentialsFlaw looks for what can be seen from here of why a hub refuses the credentials file of r. It
// is asked after a refusal and not before: this machine's clock may be what is wrong. Empty: nothing.
func credentialsFlaw(r *Remote, now time.Time) string {
	if r.Credentials == "" {
		return ""
	}
	text, err := readSecret("credentials", r.Credentials)
	defer clear(text)
	if err != nil {
		return err.Error()
	}
	blocks := decorated(text)
	if len(blocks) == 0 {
		return ""
	}
	parts := bytes.Split(blocks[0], []byte("."))
	if len(parts) != 3 {
		return fmt.Sprintf("%q holds no JWT", r.Credentials)
	}
	claims, err := base64.RawURLEncoding.DecodeString(string(parts[1]))
	var user struct {
		Expires   int64 `json:"exp"`
		NotBefore int64 `json:"nbf"`
		NATS      struct {
			Types []string `json:"allowed_connection_types"`
		} `json:"nats"`
	}
	if err != nil || json.Unmarshal(claims, &user) != nil {
		return fmt.Sprintf("%q holds a JWT that cannot be read", r.Credentials)
	}
	day := func(second int64) string { return time.Unix(second, 0).UTC().Format("2006-01-02 15:04") }
	switch {
	case user.Expires != 0 && now.Unix() >= user.Expires:
		return fmt.Sprintf("the credentials in %q expired at %s UTC: get new ones, and put them in their place", r.Credentials, day(user.Expires))
	case now.Unix() < user.NotBefore:
		return fmt.Sprintf("the credentials in %q are valid from %s UTC on: is this machine's clock right?", r.Credentials, day(user.NotBefore))
	case len(user.NATS.Types) > 0 && !slices.Contains(user.NATS.Types, "LEAFNODE"):
		return fmt.Sprintf("the credentials in %q are not for leaf nodes: have LEAFNODE added to their allowed connection types", r.Credentials)
	}
	return ""
}
