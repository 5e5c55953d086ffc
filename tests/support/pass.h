/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SUPPORT_PASS_H
#define TESTS_SUPPORT_PASS_H

/* Bytes and a descriptor, from one process to another, over a socket pair of
 * AF_UNIX; -1: none. Each ends the case if it fails. */

#include <stddef.h>

void pass_send(int to, const void *bytes, size_t len_bytes, int fd);
int pass_receive(int from, void *bytes, size_t len_bytes);

#endif
