package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/jwt/v2"
)

// The requests about claims that are answered on the system account. Those with "*" hold an account's
// public key there. The second form of an update is an older one that tools still use.
//
//	$SYS.REQ.ACCOUNT.*.CLAIMS.UPDATE   body: an account JWT     data {account, code, message}
//	$SYS.ACCOUNT.*.CLAIMS.UPDATE       the same
//	$SYS.REQ.CLAIMS.UPDATE             the same; FULL, CACHE
//	$SYS.REQ.ACCOUNT.*.CLAIMS.LOOKUP   the JWT as it is, without envelope; empty if there is none; FULL
//	$SYS.REQ.CLAIMS.LIST               data [account, …]; FULL, CACHE
//	$SYS.REQ.CLAIMS.DELETE             body: a generic JWT that an operator has signed for itself, with
//	                                   the claim "accounts", a list; data {code, message}; FULL, CACHE
//	$SYS.REQ.CLAIMS.PACK               body: the hash of what the asker has; a message "account|JWT" for
//	                                   each, then an empty one; only that if the hash is ours; FULL.
//	                                   nats-server answers it as a member of the queue "responder".
//
// What fails has error {account, code, description} instead of data. Account is left out of answers
// to DELETE and LIST. code is 200 or 500. nats-server 2.15.2 sends, for a push to FULL:
//
//	{"server":{…},"data":{"account":"AD…","code":200,"message":"jwt updated"}}
//	{"server":{…},"error":{"account":"n/a","code":500,"description":"jwt update resulted in error - expected 3 chunks"}}
const (
	subjectUpdate     = "$SYS.REQ.CLAIMS.UPDATE"
	subjectList       = "$SYS.REQ.CLAIMS.LIST"
	subjectDelete     = "$SYS.REQ.CLAIMS.DELETE"
	subjectPack       = "$SYS.REQ.CLAIMS.PACK"
	accountStart      = "$SYS.REQ.ACCOUNT."
	accountStartOld   = "$SYS.ACCOUNT."
	accountUpdateEnd  = ".CLAIMS.UPDATE"
	accountLookupEnd  = ".CLAIMS.LOOKUP"
	anyAccountSubject = "*"
)

// The codes are those of HTTP.
const (
	codeDone   = 200
	codeFailed = 500
)

// A ClaimsReply is one message of the answer to a request about claims: Data or Error belong into
// the system account's usual envelope under "data" or "error"; Raw is a message as it stands.
type ClaimsReply struct {
	Data  any
	Error any
	Raw   []byte
}

// A ClaimsStatus says how an update or a deletion went.
type ClaimsStatus struct {
	Account string `json:"account,omitempty"`
	Code    int    `json:"code,omitempty"`
	Message string `json:"message,omitempty"`
}

// A ClaimsError says how it failed.
type ClaimsError struct {
	Account     string `json:"account,omitempty"`
	Code        int    `json:"code"`
	Description string `json:"description,omitempty"`
}

var (
	errNotStored   = errors.New("auth: the resolver cannot be asked for that")
	errValidation  = errors.New("account validation failed")
	errOtherClaims = errors.New("subject does not match jwt content")
	errRootSigned  = errors.New("operator requires issuer to be a signing key")
	errMalformed   = errors.New("malformed request")
)

// ClaimsSubjects are the subjects, some with wildcards, on which requests about claims come to the
// system account. nil outside of operator mode.
func (d *Directory) ClaimsSubjects() []string {
	if d.operator == nil {
		return nil
	}
	list := []string{
		accountStart + anyAccountSubject + accountUpdateEnd,
		accountStartOld + anyAccountSubject + accountUpdateEnd,
	}
	switch d.operator.kind {
	case resolverFull:
		list = append(list, subjectUpdate, subjectList, subjectDelete, subjectPack, accountStart+anyAccountSubject+accountLookupEnd)
	case resolverCache:
		list = append(list, subjectUpdate, subjectList, subjectDelete)
	}
	return list
}

// AnswerClaims answers a request that has come on one of ClaimsSubjects, each message of the answer
// by a call of reply. What it does is in effect when it returns. It may wait for a disk.
func (d *Directory) AnswerClaims(subject string, body []byte, reply func(ClaimsReply)) {
	p := d.operator
	if p == nil {
		return
	}
	switch subject {
	case subjectUpdate:
		account, message, err := p.update("", string(body))
		reply(status(account, message, err))
	case subjectList:
		if dir, ok := p.resolver.(*directoryResolver); ok {
			reply(ClaimsReply{Data: dir.list()})
		}
	case subjectDelete:
		_, message, err := p.deleteClaims(string(body))
		reply(status("", message, err))
	case subjectPack:
		p.pack(body, reply)
	default:
		p.answerAccount(subject, body, reply)
	}
}

func (p *operator) answerAccount(subject string, body []byte, reply func(ClaimsReply)) {
	rest, ok := strings.CutPrefix(subject, accountStart)
	if !ok {
		rest, _ = strings.CutPrefix(subject, accountStartOld)
	}
	if account, ok := strings.CutSuffix(rest, accountUpdateEnd); ok {
		of, message, err := p.update(account, string(body))
		reply(status(of, message, err))
		return
	}
	if account, ok := strings.CutSuffix(rest, accountLookupEnd); ok {
		token, err := p.lookup(account)
		if err == nil || errors.Is(err, errNoAccount) {
			reply(ClaimsReply{Raw: []byte(token)})
		}
	}
}

func status(account, message string, err error) ClaimsReply {
	if err != nil {
		return ClaimsReply{Error: ClaimsError{account, codeFailed, fmt.Sprintf("%s - %v", message, err)}}
	}
	return ClaimsReply{Data: ClaimsStatus{account, codeDone, message}}
}

// wording is what an update's answers say, which differs by resolver.
type wording struct{ failed, invalid, skipped, done string }

var wordings = map[string]wording{
	resolverFull:   {"jwt update resulted in error", "jwt validation failed", "", "jwt updated"},
	resolverCache:  {"jwt update cache resulted in error", "jwt update cache validation failed", "jwt update cache skipped", "jwt updated cache"},
	resolverMemory: {"jwt update resulted in error", "jwt update resulted in error", "jwt update skipped", "jwt updated"},
	resolverURL:    {"jwt update resulted in error", "jwt update resulted in error", "jwt update skipped", "jwt updated"},
}

// update takes a JWT that was pushed for an account, or for whatever account it is of if that is
// empty. Only FULL takes accounts that are not loaded.
func (p *operator) update(account, token string) (of, message string, err error) {
	words := wordings[p.kind]
	if of = account; account == "" || p.kind == resolverFull {
		of = "n/a"
	}
	if len(token) > maxAccountJWT {
		return of, words.failed, jwt.ErrTokenTooLarge
	}
	claims, err := jwt.DecodeAccountClaims(token)
	switch {
	case err != nil && len(token) == 0 && words.skipped != "" && p.kind != resolverCache:
		return of, "jwt update error", errors.New("request body is empty")
	case err != nil:
		return of, words.failed, err
	case account != "" && claims.Subject != account:
		return account, words.failed, errOtherClaims
	}
	of = claims.Subject
	dir, stored := p.resolver.(*directoryResolver)
	if stored && p.insists && claims.Issuer == p.root {
		return of, words.failed, errRootSigned
	}
	if words.skipped != "" && p.loaded(of) == nil {
		return of, words.skipped, nil
	}
	if !p.trusted[claims.Issuer] {
		// nats-server stores such a JWT and finds out when somebody logs in.
		return of, words.failed, errValidation
	}
	if err := p.checkPushed(claims, stored); err != nil {
		return of, words.invalid, err
	}
	if stored {
		if err := dir.save(of, token); err != nil {
			return of, words.failed, err
		}
	}
	return of, words.done, p.apply(of, token)
}

// checkPushed refuses claims that would not do what they say. What is expired may be stored.
func (p *operator) checkPushed(claims *jwt.AccountClaims, stored bool) error {
	results := jwt.CreateValidationResults()
	claims.Validate(results)
	if !stored {
		if results.IsBlocking(true) {
			return errValidation
		}
		return nil
	}
	if results.IsBlocking(false) {
		return fmt.Errorf("validation errors: %v", results.Errors())
	}
	_, err := mappingsOf(claims)
	return err
}

// apply puts a pushed JWT into force if its account is loaded. One that is expired or not valid yet
// changes nothing.
func (p *operator) apply(account, token string) error {
	if p.loaded(account) == nil {
		return nil
	}
	a, err := p.verify(token, true)
	if err != nil {
		return nil
	}
	p.install(p.gather(a), a)
	return nil
}

func (p *operator) lookup(account string) (string, error) {
	dir, ok := p.resolver.(*directoryResolver)
	if !ok {
		return "", errNotStored
	}
	return dir.fetch(account)
}

// deleteClaims takes a request to delete accounts. The system account cannot be deleted: nobody
// could push anything any more.
func (p *operator) deleteClaims(request string) (deleted []string, message string, err error) {
	dir, stored := p.resolver.(*directoryResolver)
	if !stored {
		return nil, "delete accounts request failed", errNotStored
	}
	by, accounts, err := p.readDelete(dir, request)
	if err != nil {
		return nil, fmt.Sprintf("delete accounts request by %s failed", by), err
	}
	var failed []string
	for _, account := range accounts {
		if err := dir.remove(account); err != nil {
			failed = append(failed, err.Error())
			continue
		}
		p.remove(account)
		deleted = append(deleted, account)
	}
	if len(failed) > 0 {
		message = fmt.Sprintf("deleted %d accounts, failed for %d", len(deleted), len(failed))
		return deleted, message, errors.New(strings.Join(failed, "\n"))
	}
	return deleted, fmt.Sprintf("deleted %d accounts", len(deleted)), nil
}

func (p *operator) readDelete(dir *directoryResolver, request string) (by string, accounts []string, err error) {
	if len(request) > maxAccountJWT {
		return "", nil, jwt.ErrTokenTooLarge
	}
	claims, err := jwt.DecodeGeneric(request)
	if err != nil {
		return "", nil, err
	}
	by = claims.Subject
	entries, isList := claims.Data["accounts"].([]any)
	switch {
	case !dir.delete:
		return by, nil, errNoDelete
	case by != claims.Issuer:
		return by, nil, errors.New("not self signed")
	case !p.pushers[claims.Issuer]:
		return by, nil, errors.New("not trusted")
	case !isList:
		return by, nil, errMalformed
	}
	for _, entry := range entries {
		account, ok := entry.(string)
		if !ok || !isAccount(account) {
			return by, nil, errMalformed
		}
		if account == p.system {
			return by, nil, errors.New("not allowed to delete system account")
		}
		accounts = append(accounts, account)
	}
	return by, accounts, nil
}

// pack sends all that is stored, unless the asker has the same.
func (p *operator) pack(theirs []byte, reply func(ClaimsReply)) {
	dir, ok := p.resolver.(*directoryResolver)
	if !ok {
		return
	}
	if ours := dir.hash(); string(theirs) != string(ours[:]) {
		for _, account := range dir.list() {
			if token, err := dir.fetch(account); err == nil && token != "" {
				reply(ClaimsReply{Raw: []byte(account + "|" + token)})
			}
		}
	}
	reply(ClaimsReply{Raw: []byte{}})
}

// askOthers looks for an account on other servers, where it may have been pushed.
func (p *operator) askOthers(account string) (string, error) {
	dir, stored := p.resolver.(*directoryResolver)
	call := p.asker.caller.Load()
	if !stored || call == nil || p.system == "" {
		return "", errNoAccount
	}
	ctx, cancel := context.WithTimeout(context.Background(), p.wait)
	defer cancel()
	answer, _, err := (*call)(ctx, p.system, accountStart+account+accountLookupEnd, nil, nil)
	if err != nil || len(answer) == 0 || len(answer) > maxAccountJWT {
		return "", errNoAccount
	}
	token := string(answer)
	if a, err := p.verify(token, true); err != nil || a.name != account {
		return "", errNoAccount
	}
	return token, dir.saveIfNewer(account, token)
}
