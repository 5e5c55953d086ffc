/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAKES_NETPLUGIN_PRETEND_H
#define FAKES_NETPLUGIN_PRETEND_H

#include "double.h"

/*
 * The memory of the library's pretend GPUs for the double: its pool and its
 * device handles are then device memory that the CPU cannot touch and the
 * pretend GPU's kernels accept. For programs that contain the library's
 * internals; the double does not.
 *
 * current: says which GPU is current in the calling thread. NULL: the one
 * that pretend_set_current() said, 0 at first. One table a process: the last
 * call's current counts.
 */
const struct double_memory *pretend_memory(int (*current)(void));
void pretend_set_current(int device);

/* Gives that table to a double that is loaded, by its file's path: before its
 * first listen, connect or reg_mr. False: nothing of the kind is loaded. */
bool pretend_install(const char *path, int (*current)(void));

#endif
