# fanin_kernels(<isa> <flags...>): one object library per instruction set, all from the same sources.
file(GLOB kernel_sources CONFIGURE_DEPENDS cpp/kernels/*.cpp)
function(fanin_kernels isa)
  add_library(kernels_${isa} OBJECT ${kernel_sources})
  target_compile_definitions(kernels_${isa} PRIVATE FANIN_ISA=${isa} FANIN_ISA_NAME="${isa}")
  target_compile_options(kernels_${isa} PRIVATE ${FANIN_FLAGS} -O3 ${ARGN})
  target_include_directories(kernels_${isa} PRIVATE cpp)
  set_property(GLOBAL APPEND PROPERTY FANIN_KERNELS $<TARGET_OBJECTS:kernels_${isa}>)
endfunction()
