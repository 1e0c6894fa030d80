#pragma once

// A call that runs on another thread while a job waits for its result.

#include "base/allocator.h"
#include "base/bytes.h"
#include "base/event.h"
#include "base/offload.h"
#include "base/task.h"

#include <optional>
#include <type_traits>

namespace bulkhead::vfs {

/* Memory of a call's own, since a caller that is cancelled takes its memory away. */
class Buffer
{
private:
	Allocator *_allocator = nullptr;
	Mutable_bytes _bytes{};

	Buffer(Allocator &allocator, Mutable_bytes bytes) : _allocator(&allocator), _bytes(bytes) {}

public:
	Buffer() = default;
	Buffer(Buffer &&other) noexcept
		: _allocator(other._allocator), _bytes(std::exchange(other._bytes, {}))
	{}
	Buffer &operator=(Buffer &&other) noexcept
	{
		std::swap(_allocator, other._allocator);
		std::swap(_bytes, other._bytes);
		return *this;
	}
	~Buffer()
	{
		if (!_bytes.empty()) _allocator->free(_bytes.data(), _bytes.size());
	}

	/* Error: OUT_OF_MEMORY. */
	static Attempt<Buffer> create(Allocator &allocator, size_t size)
	{
		if (size == 0) return Buffer();
		auto memory = allocator.allocate(size, alignof(uint64_t));
		if (!memory.ok()) return memory.error();
		uint8_t *const first = reinterpret_cast<uint8_t *>(memory.value().data());
		return Buffer(allocator, {first, size});
	}

	/* A copy of a text with a zero behind it. Error: OUT_OF_MEMORY. */
	static Attempt<Buffer> copy(Allocator &allocator, std::string_view text)
	{
		Buffer buffer = TRY(create(allocator, text.size() + 1));
		copy_bytes(buffer._bytes, bytes_of(text));
		buffer._bytes.back() = 0;
		return buffer;
	}

	Mutable_bytes bytes() const { return _bytes; }
	char const *c_str() const { return reinterpret_cast<char const *>(_bytes.data()); }
};

/*
 * A function on its way to another thread and back. It owns what it uses, so that it can end alone
 * when its caller has gone.
 */
template <typename FN>
class Call final : public Offload::Work
{
private:
	using Result = std::invoke_result_t<FN &>;

	Allocator &_allocator;
	FN _function;
	std::optional<Result> _result{};
	Event _ended{};
	bool _done = false;
	bool _abandoned = false;

	void run() override { _result.emplace(_function()); }
	void done() override
	{
		_done = true;
		if (_abandoned) return destroy(_allocator, *this);
		_ended.raise();
	}

public:
	/* The caller's interest in the call; without it the call frees itself. */
	class Claim
	{
	private:
		Offload &_offload;
		Call *_call;

	public:
		Claim(Offload &offload, Call &call) : _offload(offload), _call(&call) {}
		Claim(Claim const &) = delete;
		Claim &operator=(Claim const &) = delete;
		~Claim()
		{
			if (!_call) return;
			if (_call->_done || _offload.withdraw(*_call))
				destroy(_call->_allocator, *_call);
			else
				_call->_abandoned = true;
		}

		Attempt<void> submit()
		{
			Attempt<void> const submitted = _offload.submit(*_call);
			if (!submitted.ok()) _call->_done = true;
			return submitted;
		}
		bool done() const { return _call->_done; }
		Event &ended() { return _call->_ended; }
		Result take() { return std::move(*_call->_result); }
	};

	Call(Allocator &allocator, FN function) : _allocator(allocator), _function(std::move(function))
	{}
};

/*
 * Has a function run on another thread and yields what it returns, an Attempt. Errors beside its
 * own: CANCELLED, TIMEOUT (the function goes on alone), BUSY, OUT_OF_MEMORY.
 */
template <typename FN>
Task<typename std::invoke_result_t<FN &>::Value> call_elsewhere(
	Job &job, Allocator &allocator, Offload &offload, FN function)
{
	CO_TRY_ASSIGN(Call<FN> & call, create<Call<FN>>(allocator, allocator, std::move(function)));
	typename Call<FN>::Claim claim(offload, call);
	CO_TRY(claim.submit());
	while (!claim.done()) CO_TRY(co_await claim.ended().wait(job));
	co_return claim.take();
}

} // namespace bulkhead::vfs
