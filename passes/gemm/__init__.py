"""Links as matrix products on machines with im2col units: what mappings may say, what they cost, the best one."""
