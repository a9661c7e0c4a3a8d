package auth

import (
	"fmt"
	"time"
)

// Options is the "authorization" block of a configuration. The zero value lets everybody in.
type Options struct {
	// User and Password name one single user, who may do everything. Password may be a bcrypt hash.
	User     string `conf:"user,alias=username"`
	Password string `conf:"password,alias=pass"`

	// Token lets in whoever knows it. It may be a bcrypt hash. It excludes users.
	Token string `conf:"token"`

	// Timeout is how long a client has to bring valid credentials. Default 2 s. Much more lets
	// strangers hold connections for nothing.
	Timeout time.Duration `conf:"timeout"`

	// Users are any number of users with a password and permissions each.
	Users []User `conf:"users"`

	// DefaultPermissions are for users without their own. Default: everything is allowed.
	DefaultPermissions *PermissionOptions `conf:"default_permissions"`

	// NoAuthUser names the user that a client without credentials becomes. Default: none. It is
	// a key of the configuration's top level, so whoever reads that fills it in.
	NoAuthUser string `conf:"-"`
}

// A User is one entry of the users list.
type User struct {
	User        string             `conf:"user,alias=username"`
	Password    string             `conf:"password,alias=pass"`
	Permissions *PermissionOptions `conf:"permissions,alias=permission"`

	// Account is the name of the account the user belongs to; empty is the global one.
	Account string `conf:"-"`
}

// PermissionOptions is a permissions block. What is nil is not restricted.
type PermissionOptions struct {
	Publish        *SubjectOptions  `conf:"publish,alias=pub"`
	Subscribe      *SubjectOptions  `conf:"subscribe,alias=sub"`
	AllowResponses *ResponseOptions `conf:"allow_responses,alias=allow_response"`
}

// SubjectOptions is what may be published or subscribed to: one subject, a list of them, or
// lists of what is allowed and denied. Allow nil: everything that is not denied; Allow empty: nothing.
type SubjectOptions struct {
	Allow []string
	Deny  []string
}

// ResponseOptions is true, or a limit of answers and their time. What is zero is defaulted.
type ResponseOptions struct {
	Off     bool          // allow_responses: false
	Max     int           // default 1; negative: any number
	Expires time.Duration // default 2 minutes; negative: never
}

// Defaults.
const (
	defaultTimeout          = 2 * time.Second
	defaultResponses        = 1
	defaultResponsesExpires = 2 * time.Minute
)

func (o *ResponseOptions) settled() Responses {
	if o.Off {
		return Responses{}
	}
	r := Responses{Max: o.Max, Expires: o.Expires}
	if r.Max == 0 {
		r.Max = defaultResponses
	}
	if r.Expires == 0 {
		r.Expires = defaultResponsesExpires
	}
	return r
}

// UnmarshalConf takes "s", ["s1", "s2"] or {allow: …, deny: …}.
func (o *SubjectOptions) UnmarshalConf(v any) error {
	block, isBlock := v.(map[string]any)
	if !isBlock {
		list, err := stringList("subjects", v)
		if err != nil {
			return err
		}
		o.Allow = list
		return nil
	}
	for key, value := range block {
		list, err := stringList(key, value)
		if err != nil {
			return err
		}
		switch key {
		case "allow":
			o.Allow = list
		case "deny":
			o.Deny = list
		default:
			return fmt.Errorf("%w: unknown key %q, use allow or deny", ErrOptions, cut(key))
		}
	}
	return nil
}

func stringList(what string, v any) ([]string, error) {
	switch v := v.(type) {
	case string:
		return []string{v}, nil
	case []string:
		return append([]string{}, v...), nil
	case []any:
		list := make([]string, 0, len(v))
		for _, entry := range v {
			s, ok := entry.(string)
			if !ok {
				return nil, fmt.Errorf("%w: %s: %v is not a subject", ErrOptions, what, cut(fmt.Sprint(entry)))
			}
			list = append(list, s)
		}
		return list, nil
	}
	return nil, fmt.Errorf("%w: %s: a subject or a list of subjects was expected", ErrOptions, what)
}

// UnmarshalConf takes true, false or {max: N, expires: "1m"}.
func (o *ResponseOptions) UnmarshalConf(v any) error {
	switch v := v.(type) {
	case bool:
		o.Off = !v
		return nil
	case map[string]any:
		return o.unmarshalBlock(v)
	}
	return fmt.Errorf("%w: allow_responses is true, false or {max, expires}", ErrOptions)
}

func (o *ResponseOptions) unmarshalBlock(block map[string]any) error {
	for key, value := range block {
		var err error
		switch key {
		case "max", "max_msgs", "max_messages", "max_responses":
			n, ok := value.(int64)
			if !ok {
				return fmt.Errorf("%w: %s: a number was expected", ErrOptions, key)
			}
			o.Max = int(n)
		case "expires", "expiration", "ttl":
			o.Expires, err = duration(value)
		default:
			err = fmt.Errorf("unknown key")
		}
		if err != nil {
			return fmt.Errorf("%w: allow_responses: %q: %w", ErrOptions, cut(key), err)
		}
	}
	return nil
}

// duration takes "1m30s" or a number of seconds.
func duration(v any) (time.Duration, error) {
	switch v := v.(type) {
	case string:
		return time.ParseDuration(v)
	case int64:
		return time.Duration(v) * time.Second, nil
	case float64:
		return time.Duration(v * float64(time.Second)), nil
	}
	return 0, fmt.Errorf("a duration was expected")
}
