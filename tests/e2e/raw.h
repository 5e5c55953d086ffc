/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_E2E_RAW_H
#define TESTS_E2E_RAW_H

/* Plain TCP connections to a session's port, for those who mean no good. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Connected to 127.0.0.1, or -1. */
int raw_connect(uint16_t port);
/* All of it, or false: the other side has closed. No SIGPIPE. */
bool raw_send(int fd, const void *data, size_t len_bytes);
/* Reads and throws away until the other side closes. True: it did, in time. */
bool raw_wait_closed(int fd, int timeout_ms);
/* Up to cap_bytes within the time; 0: closed, -1: nothing came. */
ssize_t raw_read(int fd, void *buf, size_t cap_bytes, int timeout_ms);

/*
 * A man in the middle: a listening port whose connections go to `port`. Runs
 * in a thread until stopped. What the connecting side sends is recorded, and
 * the byte at flip_at of each connection is changed (-1: none).
 */
struct proxy;
struct proxy *proxy_start(uint16_t port, long flip_at, uint16_t *proxy_port);
/* What the first connection's client has sent so far. */
size_t proxy_recorded(struct proxy *proxy, void *buf, size_t cap_bytes);
void proxy_stop(struct proxy *proxy);

#endif
