/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETPLUGIN_ADAPT_H
#define NETPLUGIN_ADAPT_H

/* For the adapter files: what every version's properties come to. */

#include "transport/netplugin/plugin.h"

/* path: sysfs path of the device or of a child of it; NULL: none. The last
 * part of it that is a PCI address. */
void adapt_pci(const char *path, char pci[16]);
void adapt_name(const char *name, char to[PLUGIN_NAME_MAX]);

#endif
