#pragma once

// A request of the kernel that is under way: the job that it runs as, the memory that it refers to
// and the way to answer it. Operations that are answered at once come and go without any of it
// being touched.

#include "base/job.h"
#include "base/task.h"
#include "vfs/fuse/libfuse.h"

#include <cstdlib>
#include <memory>
#include <span>
#include <vector>

namespace bulkhead::fuse {

class Handle;

/* Memory of libfuse's, which takes it from malloc. */
struct Free
{
	void operator()(void *memory) const { std::free(memory); }
};
using Memory = std::unique_ptr<void, Free>;

/*
 * Keeps buffers of one size for the next one who needs one, a few at most: they are not touched
 * when they are made, so that what is never used costs address space only.
 */
class Buffers
{
private:
	static constexpr size_t KEPT_MAX = 8;

	size_t const _size;
	std::vector<Memory> _kept{};

public:
	explicit Buffers(size_t size) : _size(size) { _kept.reserve(KEPT_MAX); }

	size_t size() const { return _size; }

	/* Null if there is no memory. */
	Memory take()
	{
		if (_kept.empty()) return Memory(std::malloc(_size));
		Memory buffer = std::move(_kept.back());
		_kept.pop_back();
		return buffer;
	}

	void give_back(Memory buffer)
	{
		if (buffer && _kept.size() < KEPT_MAX) _kept.push_back(std::move(buffer));
	}
};

class Operation final : public Completion, public Link<Operation>
{
public:
	/* Told that an operation is over. */
	class Owner
	{
	protected:
		~Owner() = default;

	public:
		virtual void ended(Operation &operation) = 0;
	};

private:
	// The deepest chain: root, request, handle, plugin, character device, driver, bus.
	static constexpr size_t FRAMES_BYTES = 16 * 1024;

	Owner &_owner;
	Job_with_arena<FRAMES_BYTES> _job;
	Root _root{};

public:
	fuse_req_t request = nullptr; // null once it is answered, or if nobody waits
	Handle *handle = nullptr; // that the operation uses
	Memory input{}; // the request's bytes
	Buffers *input_owner = nullptr;
	Memory output{}; // a buffer for the answer
	Buffers *output_owner = nullptr;

	Operation(Executor &executor, Owner &owner) : _owner(owner), _job(executor) {}

	Job &job() { return _job; }

	/* Runs the root to its end, then tells the owner. Error: OUT_OF_FRAMES. */
	Attempt<void> start(Root root)
	{
		_root = std::move(root);
		return _root.start(_job, this);
	}

	/* Gives the operation up wherever it waits. */
	void abandon() { _root = Root(); }

	void completed() override
	{
		_root = Root();
		_owner.ended(*this);
	}
};

} // namespace bulkhead::fuse
