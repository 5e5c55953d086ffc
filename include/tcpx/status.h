/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TCPX_STATUS_H
#define TCPX_STATUS_H

/*
 * Status codes. Every fallible call returns 0 or one of these, always
 * negative; TCPX_INPROGRESS is the only positive one. Codes are grouped by
 * the largest thing that died, so that a caller can decide by
 * tcpx_status_scope() alone whether to fix its arguments, try again, drop
 * the transfer, the peer, or the session.
 *
 * X(name, value, scope, text)
 */
#define TCPX_STATUS_MAP(X)                                                     \
	X(OK, 0, NONE, "success")                                              \
	X(INPROGRESS, 1, NONE, "in progress")                                  \
	/* the arguments: nothing happened, nothing was touched */             \
	X(EINVAL, -1, ARGUMENT, "invalid argument")                            \
	X(ENOENT, -2, ARGUMENT, "no such object")                              \
	X(ERANGE, -3, ARGUMENT, "outside the registered range")                \
	X(EACCES, -4, ARGUMENT, "access right missing")                        \
	X(EBUSY, -5, ARGUMENT, "object is in use")                             \
	X(ENOSPC, -6, ARGUMENT, "buffer too small")                            \
	X(EUNSUPPORTED, -7, ARGUMENT, "not supported")                         \
	X(EVERSION, -8, ARGUMENT, "version not supported")                     \
	/* try again: nothing happened, later it may */                        \
	X(EAGAIN, -20, AGAIN, "try again")                                     \
	X(ETIMEDOUT, -21, AGAIN, "not done within the time to wait")           \
	X(ENOMEM, -22, AGAIN, "out of memory")                                 \
	X(ENFILE, -23, AGAIN, "out of file descriptors")                       \
	/* the transfer is over, the peer lives */                             \
	X(ECANCELED, -40, TRANSFER, "canceled")                                \
	X(ETRUNCATED, -41, TRANSFER, "receive shorter than the send")          \
	X(EREMOTE, -42, TRANSFER, "refused by the peer")                       \
	X(EKEY, -43, TRANSFER, "wrong remote key")                             \
	X(ECHECKSUM, -44, TRANSFER, "payload checksum mismatch")               \
	X(ESTALLED, -45, TRANSFER,                                             \
	  "its deadline passed, or no progress within it")                     \
	X(EGPU, -46, TRANSFER, "a GPU operation failed")                       \
	X(EFAULT, -47, TRANSFER, "memory cannot be read or written")           \
	/* a channel (one flow) died; others may carry on */                   \
	X(ECHANNEL, -60, CHANNEL, "channel failed")                            \
	/* the peer is gone: every transfer with it fails */                   \
	X(EPEER, -80, PEER, "peer lost")                                       \
	X(ECLOSED, -81, PEER, "closed by the peer")                            \
	X(EREFUSED, -82, PEER, "connection refused")                           \
	X(EUNREACHABLE, -83, PEER,                                             \
	  "no usable interface or port here, or no way to the peer")           \
	X(EAUTH, -84, PEER, "authentication failed")                           \
	X(EPROTO, -85, PEER, "protocol violation")                             \
	X(ELIVENESS, -86, PEER, "peer silent for longer than allowed")         \
	/* the session is unusable */                                          \
	X(ESHUTDOWN, -100, SESSION, "session is closing")                      \
	X(EINTERNAL, -101, SESSION, "internal error")

enum tcpx_status {
#define X(name, value, scope, text) TCPX_##name = (value),
	TCPX_STATUS_MAP(X)
#undef X
};

enum tcpx_scope {
	TCPX_SCOPE_NONE = 0,
	TCPX_SCOPE_ARGUMENT,
	TCPX_SCOPE_AGAIN,
	TCPX_SCOPE_TRANSFER,
	TCPX_SCOPE_CHANNEL,
	TCPX_SCOPE_PEER,
	TCPX_SCOPE_SESSION,
};

#endif
