// Package reload changes the configuration of a running edgebus under load, and asserts that who is
// still allowed notices nothing, that nothing allowed is lost, and that nothing forbidden arrives once
// the log says that the change is in force. Beside it stands the other moment when many are checked
// at once: hundreds of logins whose passwords are hashed.
//
// EDGEBUS_RELOAD=full plays the long forms, as scripts/test-long.sh does.
package reload
