#include "rpc/policy/policy.h"

#include "rpc/policy/index.h"
#include "rpc/policy/loader.h"

namespace bulkhead::policy {

Attempt<Owned<Policy>> Policy::load(Allocator &allocator, Files &files,
	std::span<std::string_view const> directories, std::string_view compat)
{
	Owned<Policy> policy = TRY(create_owned<Policy>(allocator, allocator));
	TRY(Loader(*policy, files, compat).load(directories));
	TRY(Index_builder(*policy).build());
	return policy;
}

Attempt<Owned<Policy>> Policy::load_file(Allocator &allocator, Files &files,
	std::string_view directory, std::string_view name, std::string_view compat)
{
	Owned<Policy> policy = TRY(create_owned<Policy>(allocator, allocator));
	TRY(Loader(*policy, files, compat).load_file(directory, name));
	TRY(Index_builder(*policy).build());
	return policy;
}

std::string_view Policy::file_name(uint32_t file) const
{
	return file < _files.size() ? _files[file] : std::string_view();
}

std::string_view Policy::base_name(uint32_t file) const
{
	std::string_view const path = file_name(file);
	return path.substr(path.rfind('/') + 1);
}

Policy::Groups Policy::groups_of(std::string_view service, std::string_view argument) const
{
	Groups groups;
	groups.every = _every_service;
	uint32_t const id = _services.find(service);
	if (id == NONE) return groups;
	Service const &found = _service_groups[id];
	groups.service = found.group;
	if (!found.exact) return groups;
	uint32_t const argument_id = _arguments.find(argument);
	if (argument_id != NONE) groups.argument = _groups_of_argument.find(pair_key(id, argument_id));
	return groups;
}

} // namespace bulkhead::policy
