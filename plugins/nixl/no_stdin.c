/* SPDX-License-Identifier: Apache-2.0 */

/*
 * jansson's static library, as distributions build it, addresses stdin in a
 * way that a shared object may not. It only compares files with it, and here
 * none is ever read from standard input, so this one inside the plugin, which
 * equals no file, will do.
 */
extern void *stdin;
__attribute__((visibility("hidden"))) void *stdin;
