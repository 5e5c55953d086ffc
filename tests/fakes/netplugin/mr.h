/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAKES_NETPLUGIN_MR_H
#define FAKES_NETPLUGIN_MR_H

#include <stddef.h>

/* The entry points for registrations; wide: the size came as a size_t. */
int mr_reg(void *comm, void *data, size_t size_bytes, int type, void **mhandle);
int mr_dereg(void *comm, void *mhandle);
int mr_get_device(void *comm, void *mhandle, void **device_mhandle);

#endif
