"""Models of lower precision, fp16 or int8, and their measured agreement with fp32."""
