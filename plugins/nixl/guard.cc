/* SPDX-License-Identifier: Apache-2.0 */
#include "guard.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dirent.h>
#include <dlfcn.h>

#include "abi.h"
#include "symbol.h"

/* nixlAgent::prepMemView(nixlDescList<nixlBasicDesc> const &, void *&,
 * nixlAgentOptionalArgs const *) const: came with 1.0.0. */
#define FIRST_SYMBOL                                                           \
	"_ZNK9nixlAgent11prepMemViewERK12nixlDescListI13nixlBasicDescERPvPK21" \
	"nixlAgentOptionalArgs"
#define TABLE_SYMBOL "_ZTV17nixlBackendEngine"
/* Two words of every such table come before the functions. */
#define TABLE_BYTES ((abi::n_virtuals + 2) * sizeof(void *))

namespace
{

std::string folder_of(const std::string &path)
{
	size_t slash = path.rfind('/');

	return slash == std::string::npos ? "." : path.substr(0, slash);
}

bool starts_with(const std::string &text, const std::string &start)
{
	return text.compare(0, start.size(), start) == 0;
}

bool ends_with(const std::string &text, const std::string &end)
{
	return text.size() >= end.size() &&
	       text.compare(text.size() - end.size(), end.size(), end) == 0;
}

/* Calls visit(name) for each entry of a folder until it returns true. */
template <class visitor>
void each_entry(const std::string &folder, visitor v)
{
	DIR *dir = opendir(folder.c_str());

	if (!dir)
		return;
	for (struct dirent *e = readdir(dir); e; e = readdir(dir))
		if (v(std::string(e->d_name)))
			break;
	closedir(dir);
}

/* "nixl_cu12" of ".nixl_cu12.mesonpy.libs" or "nixl_cu12.libs": where a
 * wheel keeps its libraries. "": something else. */
std::string project_of(const std::string &folder)
{
	std::string name = folder.substr(folder.rfind('/') + 1);

	for (const char *end : {".mesonpy.libs", ".libs"})
		if (ends_with(name, end) && name.find("nixl") < 2)
			return name.substr(name[0] == '.',
					   name.size() - strlen(end) -
						   (name[0] == '.'));
	return "";
}

/* The first two numbers decide; of 1.5 only 1.5.0 and 1.5.1 are known, and
 * no pre-release of them is. */
struct version {
	int major = -1, minor = -1, patch = -1;
	bool plain = false; /* nothing behind the third number */
};

version parse(const std::string &text)
{
	version v;
	int used = 0;

	if (sscanf(text.c_str(), "%d.%d.%d%n", &v.major, &v.minor, &v.patch,
		   &used) != 3)
		return version();
	/* "1.2.0+something" is a build of 1.2.0. */
	v.plain = !text[static_cast<size_t>(used)] ||
		  text[static_cast<size_t>(used)] == '+';
	return v;
}

bool too_old(void *library)
{
	return dlsym(library, FIRST_SYMBOL) == nullptr;
}

/* A NIXL built from source: nothing says its version, but its plugins carry
 * the table. */
bool structure_fits(const std::string &library, std::string *why)
{
	std::string beside = folder_of(library);
	uint64_t bytes = guard_table_bytes(beside + "/plugins");

	if (!bytes && getenv("NIXL_PLUGIN_DIR"))
		bytes = guard_table_bytes(getenv("NIXL_PLUGIN_DIR"));
	if (bytes == TABLE_BYTES)
		return true;
	*why = bytes ? "its interface for backends is another one (" +
			       std::to_string(bytes) +
			       " bytes, known: " + std::to_string(TABLE_BYTES) +
			       ")" :
		       "its version cannot be found out (no wheel around it, "
		       "no plugin to compare with)";
	return false;
}

bool library_fits(const std::string &path, void *library, std::string *why)
{
	if (too_old(library)) {
		*why = "it is older than 1.0.0";
		return false;
	}
	std::string version = guard_wheel_version(path);

	if (version.empty())
		return structure_fits(path, why);
	if (guard_known_version(version))
		return true;
	*why = "it is NIXL " + version;
	return false;
}

bool look(const void *inside, std::string *path, std::string *why)
{
	Dl_info info;

	if (!inside || !dladdr(inside, &info) || !info.dli_fname) {
		*why = "who loads this plugin cannot be found out";
		return false;
	}
	*path = info.dli_fname;
	void *library = dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);

	if (!library) {
		*why = "it is not a library";
		return false;
	}
	bool fits = library_fits(*path, library, why);

	dlclose(library);
	return fits;
}

} /* namespace */

std::string guard_wheel_version(const std::string &library)
{
	std::string folder = folder_of(library), found;
	std::string project = project_of(folder);

	if (project.empty())
		return "";
	each_entry(folder_of(folder), [&](const std::string &name) {
		if (!starts_with(name, project + "-") ||
		    !ends_with(name, ".dist-info"))
			return false;
		found = name.substr(project.size() + 1);
		found.resize(found.size() - strlen(".dist-info"));
		return true;
	});
	return found;
}

bool guard_known_version(const std::string &text)
{
	version v = parse(text);

	if (v.major != 1 || v.minor < 0 || v.patch < 0 || !v.plain)
		return false;
	return v.minor < 5 || (v.minor == 5 && v.patch <= 1);
}

uint64_t guard_table_bytes(const std::string &folder)
{
	uint64_t bytes = 0;

	each_entry(folder, [&](const std::string &name) {
		if (!starts_with(name, "libplugin_") || !ends_with(name, ".so"))
			return false;
		bytes = symbol_bytes((folder + "/" + name).c_str(),
				     TABLE_SYMBOL);
		return bytes > 0;
	});
	return bytes;
}

bool guard_allows(const void *inside, std::string *why)
{
	const char *override = getenv(GUARD_OVERRIDE);
	std::string path, reason;

	if (override && *override && strcmp(override, "0") != 0)
		return true;
	if (look(inside, &path, &reason))
		return true;
	*why = "refused by " + (path.empty() ? "this NIXL" : path) + ": " +
	       reason +
	       ". This plugin knows NIXL " GUARD_RANGE
	       "; with another one it would crash. Install one of these, or a "
	       "newer tcpx-p2p; or set " GUARD_OVERRIDE "=1 to try anyway.";
	return false;
}
